"""Types of columns that hold the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import JSON, BigInteger, Dialect, Integer, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

_POSTGRESQL = "postgresql"

Number = BigInteger().with_variant(Integer, "sqlite")
"""A number that the database gives out; 64 bits."""


class Words(TypeDecorator[str]):
    """Text, ordered by its bytes (on PostgreSQL by the collation that the migrations give it).

    PostgreSQL cannot hold U+0000, which may be in what a step said: U+FFFD stands for it there.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Make it fit."""
        if value is not None and dialect.name == _POSTGRESQL:
            return value.replace("\0", "\ufffd")
        return value


class Document(TypeDecorator[Any]):
    """JSON as Python writes it: with NaN, and with escapes that PostgreSQL's own type refuses."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Give the type that the database has."""
        return Text() if dialect.name == _POSTGRESQL else JSON()

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Write it down, where the type does not."""
        return json.dumps(value) if dialect.name == _POSTGRESQL else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Read it, where the type does not."""
        if value is not None and dialect.name == _POSTGRESQL:
            return json.loads(value)
        return value
