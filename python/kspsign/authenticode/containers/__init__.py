"""Containers: archives whose signable files can be taken out, signed and put back, all else as it was."""
