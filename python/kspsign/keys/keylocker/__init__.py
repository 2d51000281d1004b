"""DigiCert KeyLocker: keys in DigiCert ONE, through its REST API."""
