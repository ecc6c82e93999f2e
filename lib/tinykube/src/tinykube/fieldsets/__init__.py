"""Managed fields and server-side apply: who owns which field, and what an apply may change."""

from tinykube.fieldsets.managers import created, filled, given, updated
from tinykube.fieldsets.merge import apply

__all__ = ["apply", "created", "filled", "given", "updated"]
