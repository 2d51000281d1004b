"""Tokens and HSMs through PKCS#11 (Cryptoki)."""
