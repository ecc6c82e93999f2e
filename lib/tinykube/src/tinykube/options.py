"""What a request asks for besides its object."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Options:
    """What a write may ask besides its object.

    Attributes:
        dry_run: check all, keep nothing.
        validation: `Strict`, `Warn` or `Ignore` unknown fields.
        manager: who writes, for server-side apply.
        force: an apply may take fields from other managers.
        warnings: filled with what the answer should warn of.
    """

    dry_run: bool = False
    validation: str = "Warn"
    manager: str = "unknown"
    force: bool = False
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Deletion:
    """The options of a deletion.

    Attributes:
        grace: seconds for a pod to end; None for the pod's own.
        propagation: what happens to dependents: `Background`, `Foreground` or `Orphan`;
            empty for the resource's own way.
        uid: delete only this very object.
        version: delete only in this resource version.
    """

    grace: int | None = None
    propagation: str = ""
    uid: str = ""
    version: str = ""
