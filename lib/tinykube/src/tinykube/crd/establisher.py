"""What becomes of definitions: their names are accepted, and they end with their objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tinykube import kinds, objects, status
from tinykube.control import Loop
from tinykube.crd.definition import FINALIZER, established
from tinykube.kinds import DEFINITIONS
from tinykube.objects import JSON
from tinykube.options import Deletion
from tinykube.registry import Registry
from tinykube.store import Change

_BATCH = 100


class Establisher(Loop):
    """Accepts the names of definitions, and ends those that are deleted with their objects."""

    name = "custom resources"

    def __init__(self, registry: Registry) -> None:
        self._fresh = False
        self._leaving: set[str] = set()
        super().__init__(registry)

    def load(self) -> None:
        """See Loop."""
        self._fresh = True
        self._leaving = {
            row.name
            for row in self.store.rows(DEFINITIONS.key)
            if objects.terminating(objects.load(row.data))
        }

    def changed(self, changes: Sequence[Change]) -> None:
        """See Loop."""
        for change in changes:
            if change.resource == DEFINITIONS.key:
                self._fresh = True
                if change.type == "DELETED":
                    self._leaving.discard(change.name)
                elif objects.terminating(change.after):
                    self._leaving.add(change.name)
                self.wake()
            elif change.type == "DELETED" and change.resource in self._leaving:
                self.wake()

    def step(self) -> bool:
        """See Loop."""
        if self._fresh:
            self._fresh = False
            for row in list(self.store.rows(DEFINITIONS.key)):
                self._accept(objects.load(row.data))
        more = False
        for name in sorted(self._leaving):
            more = self._end(name) or more
        return more

    # Names.

    def _accept(self, definition: JSON) -> None:
        if objects.terminating(definition):
            return

        def change(current: JSON) -> bool:
            before = objects.copy(current["status"])
            self._judge(current)
            return bool(before != current["status"])

        self.registry.modify(
            DEFINITIONS, "", objects.name(definition), change, uid=objects.uid(definition)
        )

    def _judge(self, definition: JSON) -> None:
        wanted, state = definition["spec"]["names"], definition["status"]
        accepted = dict(state.get("acceptedNames") or {})
        resources, known_kinds = self._taken(definition)
        problems: dict[str, str] = {}
        for field, taken, reason in (
            ("plural", resources, "PluralConflict"),
            ("singular", resources, "SingularConflict"),
            ("shortNames", resources, "ShortNamesConflict"),
            ("kind", known_kinds, "KindConflict"),
            ("listKind", known_kinds, "ListKindConflict"),
        ):
            given = wanted.get(field)
            listed = given if isinstance(given, list) else [given]
            used = sorted(name for name in listed if name and name in taken)
            if used:
                words = ", ".join(f'"{name}" is already in use' for name in used)
                problems[reason] = f"[{words}]" if len(used) > 1 else words
            elif given:
                accepted[field] = given
            else:
                accepted.pop(field, None)
        accepted.pop("categories", None)
        if wanted.get("categories"):
            accepted["categories"] = wanted["categories"]
        state["acceptedNames"] = accepted
        if problems:
            reason, message = list(problems.items())[-1]
            objects.set_condition(state, "NamesAccepted", "False", reason=reason, message=message)
            if not established(definition):
                objects.set_condition(
                    state,
                    "Established",
                    "False",
                    reason="NotAccepted",
                    message="not all names are accepted",
                )
            return
        objects.set_condition(
            state,
            "NamesAccepted",
            "True",
            reason="NoConflicts",
            message="no conflicts found",
        )
        if not established(definition):
            objects.set_condition(
                state,
                "Established",
                "True",
                reason="InitialNamesAccepted",
                message="the initial names have been accepted",
            )

    def _taken(self, definition: JSON) -> tuple[set[str], set[str]]:
        """The names of resources and of kinds that others of the group have."""
        resources: set[str] = set()
        found: set[str] = set()
        for names in self._others(definition):
            resources |= {names.get("plural", ""), names.get("singular", "")}
            resources |= set(names.get("shortNames") or ())
            found |= {names.get("kind", ""), names.get("listKind", "")}
        return resources, found

    def _others(self, definition: JSON) -> Iterator[Mapping[str, Any]]:
        group = definition["spec"]["group"]
        for resource in kinds.STORED:
            if resource.group == group:
                yield {
                    "plural": resource.plural,
                    "singular": resource.singular,
                    "kind": resource.kind,
                    "listKind": f"{resource.kind}List",
                }
        for row in self.store.rows(DEFINITIONS.key):
            other = objects.load(row.data)
            if other["spec"]["group"] == group and row.name != objects.name(definition):
                yield other["status"].get("acceptedNames") or {}

    # The end.

    def _end(self, name: str) -> bool:
        """Bring a deleted definition nearer to its end; True if more can be done at once."""
        definition = self.store.load(DEFINITIONS.key, "", name)
        if definition is None or FINALIZER not in (definition["metadata"].get("finalizers") or ()):
            return False
        resource = self.registry.catalog.by_key(name)
        if resource is not None and self.store.count(name):
            self._say(
                name,
                "True",
                "InstanceDeletionInProgress",
                "CustomResource deletion is in progress",
            )
            begun = 0
            for row in self.store.rows(name):
                if objects.terminating(objects.load(row.data)):
                    continue
                try:
                    self.registry.delete(resource, row.namespace, row.name, Deletion())
                except status.ApiError as error:
                    if error.reason != "NotFound":
                        raise
                begun += 1
                if begun == _BATCH:
                    return True
            if self.store.count(name):
                # Finalizers hold them; their end wakes this loop.
                return False
        self._say(name, "False", "InstanceDeletionCompleted", "removed all instances")
        self.registry.remove_finalizer(DEFINITIONS, definition, FINALIZER)
        return False

    def _say(self, name: str, value: str, reason: str, message: str) -> None:
        def change(current: JSON) -> bool:
            return objects.set_condition(
                current["status"], "Terminating", value, reason=reason, message=message
            )

        self.registry.modify(DEFINITIONS, "", name, change)
