"""Key store example: a key in an encrypted PEM file, with its certificates in another."""
