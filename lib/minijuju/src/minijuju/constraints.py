"""Constraints (`mem=4G cores=2`) and storage directives (`pool,1G,2`), as Juju writes them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import BadRequestError

if TYPE_CHECKING:
    from .charm import StorageMeta

# What each constraint holds. Sizes are kept in MiB, as Juju keeps them.
_KINDS = {
    "allocate-public-ip": "flag",
    "arch": "arch",
    "container": "text",
    "cores": "count",
    "cpu-cores": "count",
    "cpu-power": "count",
    "image-id": "text",
    "instance-role": "text",
    "instance-type": "text",
    "mem": "size",
    "root-disk": "size",
    "root-disk-source": "text",
    "spaces": "list",
    "tags": "list",
    "virt-type": "text",
    "zones": "list",
}
_ARCHITECTURES = ("amd64", "arm64", "ppc64el", "riscv64", "s390x")
SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([MGTPEZY]?)(?:i?B)?")
_UNITS: dict[str, int] = {unit: 1024**power for power, unit in enumerate("MGTPEZY")} | {"": 1}
_POOL = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]*")

Constraint = str | int | bool | list[str]


class ConstraintError(BadRequestError):
    """A constraint or directive that cannot be understood."""


def parse(*texts: str) -> dict[str, Constraint]:
    """Read constraints from one or more texts of `key=value` words.

    Returns:
        Values by key; sizes in MiB. `key=` unsets and yields an empty value.

    Raises:
        ConstraintError: Unknown key, repeated key, or a value of the wrong kind.
    """
    found: dict[str, Constraint] = {}
    for word in (word for text in texts for word in text.split()):
        key, separator, value = word.partition("=")
        if not separator:
            raise ConstraintError(f'malformed constraint "{word}"')
        if key not in _KINDS:
            raise ConstraintError(f'unknown constraint "{key}"')
        name = "cores" if key == "cpu-cores" else key
        if name in found:
            raise ConstraintError(f'bad "{key}" constraint: already set')
        try:
            found[name] = _value(_KINDS[key], value)
        except ConstraintError as error:
            raise ConstraintError(f'bad "{key}" constraint: {error}') from None
    return found


def render(constraints: dict[str, Constraint]) -> str:
    """Write constraints as `parse` reads them, keys sorted."""
    words = []
    for key, value in sorted(constraints.items()):
        if isinstance(value, bool):
            shown = "true" if value else "false"
        elif isinstance(value, list):
            shown = ",".join(value)
        else:
            shown = f"{value}M" if _KINDS[key] == "size" and value != "" else str(value)
        words.append(f"{key}={shown}")
    return " ".join(words)


def _value(kind: str, text: str) -> Constraint:
    if text == "":
        return [] if kind == "list" else ""
    if kind == "size":
        return parse_size(text)
    if kind == "count":
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise ConstraintError("must be a non-negative integer")
        return int(text)
    if kind == "flag":
        if text not in ("true", "false"):
            raise ConstraintError("must be 'true' or 'false'")
        return text == "true"
    if kind == "arch":
        if text not in _ARCHITECTURES:
            raise ConstraintError(f'"{text}" not recognized')
        return text
    if kind == "list":
        return text.split(",")
    return text


def parse_size(text: str) -> int:
    """Read a size such as `512`, `4G` or `1.5T` as MiB, rounded up.

    Raises:
        ConstraintError: It is no size.
    """
    match = SIZE.fullmatch(text)
    if not match or len(text) > 24:
        raise ConstraintError("must be a non-negative float with optional M/G/T/P/E/Z/Y suffix")
    scaled: float = float(match[1]) * _UNITS[match[2]]
    return int(scaled) + (scaled > int(scaled))


POOL = "kubernetes"
"""The one pool that storage comes from."""


@dataclass(frozen=True)
class StorageDirective:
    """Where storage comes from: `size` in MiB; None leaves the choice to Juju."""

    pool: str | None = None
    size: int | None = None
    count: int | None = None


def parse_storage(text: str) -> StorageDirective:
    """Read `[pool][,size][,count]`, in any order after the pool, as Juju does.

    Raises:
        ConstraintError: A part is none of the three, or given twice.
    """
    pool: str | None = None
    size: int | None = None
    count: int | None = None
    for index, part in enumerate(text.split(",")):
        word = part.strip()
        if re.fullmatch(r"[0-9]{1,9}", word):
            if count is not None:
                raise ConstraintError(f'storage directive "{text}": count given twice')
            count = int(word)
            if count == 0:
                raise ConstraintError(f'storage directive "{text}": count must be at least 1')
        elif SIZE.fullmatch(word):
            if size is not None:
                raise ConstraintError(f'storage directive "{text}": size given twice')
            size = parse_size(word)
        elif _POOL.fullmatch(word) and index == 0:
            pool = word
        else:
            raise ConstraintError(
                f'storage directive "{text}": "{word}" is neither a pool, a size nor a count'
            )
    return StorageDirective(pool, size, count)


def check_storage(meta: StorageMeta, directive: StorageDirective) -> None:
    """Refuse a count or a size outside what the charm's storage allows, and an unknown pool.

    Raises:
        ConstraintError: Too few or too many, too small, or from where there is none.
    """
    if directive.pool not in (None, POOL):
        raise ConstraintError(
            f'charm storage "{meta.name}": pool "{directive.pool}" not found; there is {POOL}'
        )
    least = parse_size(meta.minimum_size) if meta.minimum_size else 0
    if directive.size is not None and directive.size < least:
        raise ConstraintError(
            f'charm storage "{meta.name}": minimum storage size is {least} MiB, '
            f"{directive.size} MiB specified"
        )
    if directive.count is None:
        return
    if directive.count < meta.minimum:
        raise ConstraintError(
            f'charm storage "{meta.name}": {meta.minimum} instances required, '
            f"{directive.count} specified"
        )
    if meta.maximum is not None and directive.count > meta.maximum:
        raise ConstraintError(
            f'charm storage "{meta.name}": at most {meta.maximum} instances supported, '
            f"{directive.count} specified"
        )


def check_storage_change(
    old: Mapping[str, StorageMeta], new: Mapping[str, StorageMeta], in_use: Collection[str]
) -> None:
    """Refuse what another version of a charm may not change of its storage, in Juju's words.

    Args:
        old: The storage of the charm that there is, by name.
        new: Of the one that comes.
        in_use: The names of those that units have.

    Raises:
        ConstraintError: The units' storage would be lost, or be somewhere else.
    """
    for name, before in old.items():
        after = new.get(name)
        if after is None:
            if before.minimum > 0:
                raise ConstraintError(f'required storage "{name}" removed')
            if name in in_use:
                raise ConstraintError(f'in-use storage "{name}" removed')
            continue
        what = f'existing storage "{name}"'
        if after.type != before.type:
            raise ConstraintError(f'{what} type changed from "{before.type}" to "{after.type}"')
        if after.read_only != before.read_only:
            words = [str(one.read_only).lower() for one in (before, after)]
            raise ConstraintError(f"{what} read-only changed from {words[0]} to {words[1]}")
        if after.location != before.location:
            raise ConstraintError(
                f'{what} location changed from "{before.location}" to "{after.location}"'
            )
        if after.maximum is not None and (
            before.maximum is None or after.maximum < before.maximum
        ):
            most = "<unbounded>" if before.maximum is None else before.maximum
            raise ConstraintError(
                f"{what} range contracted: max decreased from {most} to {after.maximum}"
            )
        if before.location and after.multiple and not before.multiple:
            raise ConstraintError(f"{what} with location changed from single to multiple")


def pairs(words: Iterable[str], what: str) -> dict[str, str]:
    """Read `key=value` words.

    Raises:
        ConstraintError: A word without `=` or without a key, or a key given twice.
    """
    found: dict[str, str] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator or not key:
            raise ConstraintError(f'expected "key=value", got "{word}" ({what})')
        if key in found:
            raise ConstraintError(f'key "{key}" specified more than once ({what})')
        found[key] = value
    return found
