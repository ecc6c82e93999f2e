"""Every test of the store is one of SQLite and one of PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from toolkit_database import Login
from toolkit_pipelines.store import Store, over, record_nothing, tables
from toolkit_pipelines.store.database import Database
from toolkit_pipelines.store.interface import Recorder
from toolkit_pipelines.store.postgresql import open_postgresql
from toolkit_pipelines.store.sqlite import open_sqlite

from ....postgresql import PostgresServer

Opening = Callable[..., Store]
KINDS = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def login(postgres: PostgresServer) -> Login:
    """A database with the tables; whoever uses it empties them first."""
    made = postgres.fresh()
    open_postgresql(made).close()
    return made


@pytest.fixture(params=KINDS)
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opening]:
    """A function that opens the test's database, again and again; it takes the recorder."""
    opened: list[Store] = []
    if request.param == "sqlite":

        def connect() -> Database:
            return open_sqlite(tmp_path / "pipelines.db")

    else:
        postgres: PostgresServer = request.getfixturevalue("postgres")
        login: Login = request.getfixturevalue("login")
        names = ", ".join(tables.metadata.tables)
        postgres.execute(f"TRUNCATE {names} RESTART IDENTITY", login.database)

        def connect() -> Database:
            return open_postgresql(login, patience=0)

    def again(recorder: Recorder = record_nothing) -> Store:
        opened.append(over(connect(), recorder))
        return opened[-1]

    yield again
    for each in opened:
        each.close()


@pytest.fixture
def store(opening: Opening) -> Store:
    return opening()
