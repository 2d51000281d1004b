"""`python -m kspsign`, and the entry of the engine folder that the Azure Pipelines task carries."""

from kspsign.cli import entry

if __name__ == "__main__":
    entry()
