"""OpenAPI v3: what is served, for clients that explain, complete and merge by it."""
