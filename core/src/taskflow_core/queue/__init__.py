"""The queue protocol: PostgreSQL decides, Redis says where to look (docs/queue.md)."""
