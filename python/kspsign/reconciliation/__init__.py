"""Reconciliation: every use of a key in its own log, compared with the ledgers of the builds."""
