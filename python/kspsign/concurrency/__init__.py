"""Cancellation, worker threads, single flight and batching."""
