"""The embedded default: a throw-away authority and an RFC 3161 timestamp server on loopback.

All of it is test signing. Its modules are imported by name: `authority` when keys are needed,
`timestamp_server` only where a server runs.
"""
