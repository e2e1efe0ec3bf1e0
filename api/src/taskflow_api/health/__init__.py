"""How the process is, for probes and for people."""
