"""Reading and hashing files that must not change meanwhile."""
