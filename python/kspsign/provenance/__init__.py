"""Provenance of a run's files: an in-toto statement (SLSA provenance v1), in a DSSE envelope by the run's key."""
