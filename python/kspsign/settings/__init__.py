"""What a run is told, and where it runs."""
