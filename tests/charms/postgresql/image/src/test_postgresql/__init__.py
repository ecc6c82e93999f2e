"""PostgreSQL in a container of a test's charm."""
