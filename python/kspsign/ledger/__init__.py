"""The ledger: every signature that runs asked a key for, in lines that are chained by their hashes."""
