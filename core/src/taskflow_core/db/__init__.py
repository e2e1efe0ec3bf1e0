"""PostgreSQL: connections, statements, leases, partitions."""
