"""Keyfactor SignServer: a worker that signs hashes (PlainSigner with client-side hashing), over its REST interface."""
