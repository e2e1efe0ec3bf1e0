"""Everything on one machine: servers from wheels, and our own processes, started and watched."""
