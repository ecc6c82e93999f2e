"""Hooks: their environment, the commands a charm calls in them, and the transaction they are."""
