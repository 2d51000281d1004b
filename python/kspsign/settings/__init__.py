"""The settings of a run, and the environment it runs in."""
