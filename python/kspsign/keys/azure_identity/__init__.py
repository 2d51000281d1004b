"""Signing in to Azure (Entra ID)."""
