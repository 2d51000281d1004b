"""Reads and hashes files that must not change meanwhile."""
