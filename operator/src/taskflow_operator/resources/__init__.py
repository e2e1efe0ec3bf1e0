"""The TaskFlow resource: its models are the API, its documentation and its validation."""
