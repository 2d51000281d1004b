"""Tokens and HSMs by PKCS#11 (Cryptoki)."""
