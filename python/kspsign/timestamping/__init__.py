"""RFC 3161 timestamp servers over HTTP, in fallback order."""
