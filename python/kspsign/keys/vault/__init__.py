"""HashiCorp Vault or OpenBao: a key of the transit secrets engine, over its HTTP API."""
