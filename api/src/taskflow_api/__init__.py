"""TaskFlow's HTTP API."""
