"""The files of one run: which there are, the work on each, their outcomes, and the report they make."""
