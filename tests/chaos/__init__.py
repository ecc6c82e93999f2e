"""A model under load whose parts are killed at seeded moments, and what must hold afterwards."""
