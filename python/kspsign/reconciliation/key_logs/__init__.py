"""The logs that key services keep: what each of them says about a use of a key, in the shapes it is exported in."""
