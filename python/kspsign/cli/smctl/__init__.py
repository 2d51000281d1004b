"""`kspsign smctl`: the command line of DigiCert's smctl, over the key store keylocker on any system."""
