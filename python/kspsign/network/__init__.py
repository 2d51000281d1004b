"""HTTP for every service: connections, fetching, retries, limits."""
