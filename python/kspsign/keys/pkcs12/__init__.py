"""Key store pkcs12: key and certificates from a password-protected file."""
