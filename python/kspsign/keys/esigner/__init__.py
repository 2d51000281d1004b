"""SSL.com eSigner: a credential of its cloud HSM, over the Cloud Signature Consortium's API (version 0)."""
