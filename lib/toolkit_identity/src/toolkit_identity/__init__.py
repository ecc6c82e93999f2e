"""Tokens, hosts and origins: verified the same way by every image."""
