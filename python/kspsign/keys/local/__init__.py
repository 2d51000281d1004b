"""Keys in this process's memory: PKCS#12 files and throw-away test keys."""
