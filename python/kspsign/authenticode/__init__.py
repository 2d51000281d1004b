"""The file formats: where each keeps its signature, what it hashes, and the CMS inside.

A library of its own: no network but the timestamp client, nothing of Azure, no trust decisions.
"""
