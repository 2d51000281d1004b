"""X.509 certificates as all stages and key stores need them: parsing, chains, choice, facts."""
