"""The differences that are meant, each with its reason, as `known.yaml` lists them."""

from __future__ import annotations

import collections
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from .runner import Difference

FILE = Path(__file__).parent / "known.yaml"


@dataclass(frozen=True, slots=True)
class Known:
    """A row of the table. What it does not name, it takes as it comes.

    Attributes:
        reason: why the two differ; the README shows it.
        kinds: plurals.
        methods: HTTP's.
        path: a regular expression for the whole path in the answer.
        codes: what the real one and tinykube answered.
        real: a regular expression that the real one's words match.
        tinykube: one for tinykube's.
    """

    reason: str
    kinds: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    path: str = ".*"
    codes: tuple[int, int] | None = None
    real: str = ""
    tinykube: str = ""

    def explains(self, difference: Difference) -> bool:
        """Whether this row is about `difference`."""
        request = difference.request
        return (
            (not self.kinds or request.kind.plural in self.kinds)
            and (not self.methods or request.method in self.methods)
            and re.fullmatch(self.path, difference.path) is not None
            and (self.codes is None or self.codes == difference.codes)
            and re.search(self.real, _text(difference.real)) is not None
            and re.search(self.tinykube, _text(difference.tiny)) is not None
        )


def _text(value: Any) -> str:
    return "(absent)" if value is ... else value if isinstance(value, str) else repr(value)


@functools.cache
def table() -> tuple[Known, ...]:
    """The rows of known.yaml."""
    rows = yaml.safe_load(FILE.read_text()) or []
    return tuple(
        Known(
            **{
                key: tuple(value) if isinstance(value, list) else value
                for key, value in row.items()
            }
        )
        for row in rows
    )


used: collections.Counter[Known] = collections.Counter()
"""How many differences each row explained in this process."""


def unexplained(found: Iterable[Difference]) -> list[Difference]:
    """The differences that no row explains."""
    left = []
    for difference in found:
        row = next((row for row in table() if row.explains(difference)), None)
        if row is None:
            left.append(difference)
        else:
            used[row] += 1
    return left
