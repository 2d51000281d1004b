"""Azure Artifact Signing (before 2026: Trusted Signing)."""
