"""All rows of a database into another that has the same tables, and is empty."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Table, cast, func, insert, select, text
from sqlalchemy.dialects import postgresql

_BATCH = 500


class CopyError(Exception):
    """The target has rows already, or not all have arrived; nothing is to be kept."""


def copy(source: Connection, target: Connection, tables: Sequence[Table]) -> dict[str, int]:
    """Copy every row, in the transactions of the connections.

    Args:
        source: SQLite, where they are; nobody else may write there meanwhile.
        target: PostgreSQL, with the same tables, all empty.
        tables: those, each after the ones that it refers to.

    Returns:
        The number of rows by table.

    Raises:
        CopyError: a table of the target has rows, or ends up with another number of them.
    """
    copied = {}
    for table in tables:
        if target.execute(select(table).limit(1)).first() is not None:
            raise CopyError(f"the table {table.name} has rows already")
    for table in tables:
        rows = source.execution_options(yield_per=_BATCH).execute(select(table))
        for batch in rows.mappings().partitions(_BATCH):
            target.execute(insert(table), [dict(row) for row in batch])
        counted = select(func.count()).select_from(table)
        copied[table.name] = source.execute(counted).scalar_one()
        arrived = target.execute(counted).scalar_one()
        if arrived != copied[table.name]:
            raise CopyError(f"{table.name}: {arrived} of {copied[table.name]} rows have arrived")
        _advance(source, target, table)
    return copied


def _advance(source: Connection, target: Connection, table: Table) -> None:
    """Let the numbers that a table gives its rows go on after those that it has given."""
    column = table.autoincrement_column
    if column is None:
        return
    name = target.dialect.identifier_preparer.format_table(table)
    sequence = target.execute(select(func.pg_get_serial_sequence(name, column.name))).scalar_one()
    last = source.execute(select(func.max(column))).scalar_one() or 0
    if table.dialect_options["sqlite"]["autoincrement"]:
        given = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
        last = max(last, source.execute(given, {"name": table.name}).scalar_one_or_none() or 0)
    if sequence is not None and last:
        target.execute(select(func.setval(cast(sequence, postgresql.REGCLASS), last)))
