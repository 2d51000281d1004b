"""The project's public address and its publisher in the Marketplace: the one place that has them.

tools/package.py puts them into the extension's manifest and into the links of its overview.
"""

PROJECT = "https://github.com/kspsign/kspsign"
PUBLISHER = "kspsign"
DOCUMENTATION = f"{PROJECT}/blob/main/docs"
