"""DigiCert KeyLocker: keys in DigiCert ONE, by its REST interface."""
