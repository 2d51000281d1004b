"""The project's public address: the one place that has it for the engine; vss-extension.json has it for the store."""

PROJECT = "https://github.com/kspsign/kspsign"
DOCUMENTATION = f"{PROJECT}/blob/main/docs"
