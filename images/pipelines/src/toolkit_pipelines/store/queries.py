"""List queries: predicates, order and position as SQL expressions, always with bound values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import ColumnElement, Row, Table, and_, func, or_, select

from ..filters import Operation, Predicate
from ..paging import Position, Query


def page(
    connection: sqlalchemy.Connection, table: Table, id_column: str, query: Query
) -> tuple[Sequence[Row[Any]], int, Position | None]:
    """Give one page of a table.

    Returns:
        The rows, the number of rows on all pages, and the position that the next page starts
        after (None on the last).
    """
    conditions = [table.c[name] == value for name, value in query.scope.items()]
    conditions += [_condition(table, each) for each in query.predicates]
    total = connection.execute(
        select(func.count()).select_from(table).where(*conditions)
    ).scalar_one()
    key, identity = table.c[query.sort.field.column], table.c[id_column]
    if query.after is not None:
        conditions.append(_beyond(key, identity, query))
    order = (key.desc(), identity.desc()) if query.sort.descending else (key.asc(), identity.asc())
    rows = connection.execute(
        select(table).where(*conditions).order_by(*order).limit(query.size + 1)
    ).all()
    if len(rows) <= query.size:
        return rows, total, None
    rows = rows[: query.size]
    last = rows[-1]._mapping
    return rows, total, Position(last[key.name], str(last[id_column]))


def _beyond(
    key: ColumnElement[Any], identity: ColumnElement[Any], query: Query
) -> ColumnElement[bool]:
    after = query.after
    if after is None:
        raise ValueError("no position")
    last_id: str | int = after.id
    if isinstance(identity.type, sqlalchemy.Integer):
        last_id = int(after.id)
    # Spelled so that the index on (key, id) is used from the position on.
    if query.sort.descending:
        return and_(key <= after.value, or_(key < after.value, identity < last_id))
    return and_(key >= after.value, or_(key > after.value, identity > last_id))


def _condition(table: Table, predicate: Predicate) -> ColumnElement[bool]:
    column: ColumnElement[Any] = table.c[predicate.field.column]
    if isinstance(column.type, sqlalchemy.Integer):
        # A key that the API shows as text: its rows are found by the text.
        column = sqlalchemy.cast(column, sqlalchemy.Text)
    value = predicate.values[0] if predicate.values else ""
    match predicate.operation:
        case Operation.EQUALS:
            return column == value
        case Operation.NOT_EQUALS:
            return column != value
        case Operation.GREATER_THAN:
            return column > value
        case Operation.GREATER_THAN_EQUALS:
            return column >= value
        case Operation.LESS_THAN:
            return column < value
        case Operation.LESS_THAN_EQUALS:
            return column <= value
        case Operation.IN:
            return column.in_(predicate.values)
        case Operation.IS_SUBSTRING:
            return column.icontains(str(value), autoescape=True)
