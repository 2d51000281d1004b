"""Any program as a key store: asked in JSON lines on its standard input, it answers on its standard output."""
