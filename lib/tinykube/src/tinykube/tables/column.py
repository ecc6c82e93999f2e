"""What a table of one kind shows: its columns and how a row is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinykube.objects import JSON
from tinykube.tables.durations import age

Cell = str | int | float | bool | None
NONE = "<none>"


@dataclass(frozen=True, slots=True)
class Heading:
    """A column: its name, its OpenAPI type and format, and 0 or, for wide tables, 1."""

    name: str
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def definition(self) -> JSON:
        """The entry in `columnDefinitions`."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


NAME = Heading("Name", format="name", description="The object's name.")
AGE = Heading("Age", description="The time since the object was created.")


@dataclass(frozen=True, slots=True)
class Printer:
    """The columns of a kind and the cells of a row; a row's conditions where it has any."""

    headings: Sequence[Heading]
    cells: Callable[[JSON], Sequence[Cell]]
    conditions: Callable[[JSON], list[JSON]] = lambda _: []


def name(obj: Mapping[str, Any]) -> str:
    """The cell of the object's name."""
    return str(obj["metadata"]["name"])


def created(obj: Mapping[str, Any]) -> str:
    """The cell of the object's age."""
    return age(obj["metadata"].get("creationTimestamp"))


def plain(*columns: Heading, cells: Callable[[JSON], Sequence[Cell]]) -> Printer:
    """A printer whose first column is the name and whose last is the age."""
    return Printer((NAME, *columns, AGE), lambda obj: (name(obj), *cells(obj), created(obj)))


def texts(*names: str) -> tuple[Heading, ...]:
    """Columns of text."""
    return tuple(Heading(item) for item in names)


def wide(*names: str) -> tuple[Heading, ...]:
    """Columns of text that only wide tables show."""
    return tuple(Heading(item, priority=1) for item in names)


def selector(value: Any) -> str:
    """A selector's text: labels, or a LabelSelector."""
    if not value:
        return NONE
    labels = value.get("matchLabels", {}) if _structured(value) else value
    parts = [f"{key}={item}" for key, item in sorted(labels.items())]
    expressions = (value.get("matchExpressions") or ()) if _structured(value) else ()
    for item in sorted(expressions, key=lambda item: str(item.get("key"))):
        operator, key = item.get("operator"), item.get("key")
        values = ",".join(sorted(item.get("values") or ()))
        match operator:
            case "In":
                parts.append(f"{key} in ({values})")
            case "NotIn":
                parts.append(f"{key} notin ({values})")
            case "DoesNotExist":
                parts.append(f"!{key}")
            case _:
                parts.append(str(key))
    return ",".join(parts) or NONE


def _structured(value: Mapping[str, Any]) -> bool:
    return any(isinstance(item, (dict, list)) for item in value.values())


def containers(template: Any) -> tuple[str, str]:
    """The names and the images of a pod's containers."""
    listed = ((template or {}).get("spec") or {}).get("containers") or ()
    return (
        ",".join(str(item.get("name", "")) for item in listed),
        ",".join(str(item.get("image", "")) for item in listed),
    )
