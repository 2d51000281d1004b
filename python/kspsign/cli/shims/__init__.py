"""`kspsign shims`: launchers named signtool and smctl, for build tools that start these programs by name or path."""
