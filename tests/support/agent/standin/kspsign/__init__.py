"""A stand-in engine for tests of the shim: a real child process that does what the first line of `files` says."""
