"""Handlers of a team that uses TaskFlow."""
