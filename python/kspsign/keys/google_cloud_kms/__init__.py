"""Google Cloud Key Management Service."""
