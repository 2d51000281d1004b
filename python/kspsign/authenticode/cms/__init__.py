"""The Cryptographic Message Syntax (RFC 5652) as Authenticode uses it: DER, signer, timestamp, what is covered."""
