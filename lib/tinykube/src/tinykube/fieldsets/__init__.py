"""Managed fields and server-side apply: who owns which field, and what an apply may change."""

from tinykube.fieldsets.managers import created, filled, given, untimed, updated
from tinykube.fieldsets.merge import apply, doubled
from tinykube.fieldsets.scaling import scaled

__all__ = ["apply", "created", "doubled", "filled", "given", "scaled", "untimed", "updated"]
