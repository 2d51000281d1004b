"""Key store embedded: throw-away keys for test signing."""
