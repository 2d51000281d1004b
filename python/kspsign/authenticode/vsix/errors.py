"""What reading a package raises to its own room alone."""


class UnnamedPartsError(ValueError):
    """There are parts of a signature that no relationship leads to."""
