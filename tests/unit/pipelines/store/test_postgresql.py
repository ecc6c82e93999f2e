"""What PostgreSQL does that a file does not: it goes away, others use it, and it is strict."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from toolkit_database import Login
from toolkit_pipelines.store import Store, migrations, over, postgresql, tables
from toolkit_pipelines.store.database import Database, DatabaseError
from toolkit_pipelines.store.interface import Experiment
from toolkit_pipelines.store.postgresql import (
    Leadership,
    OtherServiceError,
    hold,
    open_postgresql,
)

from ....postgresql import PostgresServer

Opening = Callable[..., Store]
pytestmark = pytest.mark.parametrize("opening", ["postgresql"], indirect=True)


@pytest.fixture
def fresh(postgres: PostgresServer) -> Iterator[Callable[[Login], Database]]:
    """A function that opens a database without waiting for who has it."""
    opened: list[Database] = []

    def add(login: Login) -> Database:
        opened.append(open_postgresql(login, patience=0))
        return opened[-1]

    yield add
    for each in opened:
        each.close()


def named(store: Store, name: str) -> Experiment:
    made = Experiment(experiment_id=name, display_name=name, created=1.0)
    store.catalog.create_experiment(made)
    return made


def cut(postgres: PostgresServer, login: Login) -> None:
    """End all sessions of a database, as a server does that is shut down; they have ended."""
    postgres.execute(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
        f" WHERE datname = '{login.database}' AND pid <> pg_backend_pid()"
    )


def test_lost_connections_are_made_anew(
    store: Store, postgres: PostgresServer, login: Login
) -> None:
    named(store, "before")
    cut(postgres, login)
    assert store.catalog.experiment("before").display_name == "before"
    cut(postgres, login)
    named(store, "after")
    assert store.catalog.experiment_named("after") is not None


def test_a_transaction_that_is_cut_off_leaves_nothing(
    store: Store, postgres: PostgresServer, login: Login
) -> None:

    def write() -> None:
        with store.database.write() as connection:
            row = {"name": "a", "value": b"x"}
            connection.execute(sqlalchemy.insert(tables.keys).values(row))
            cut(postgres, login)
            connection.execute(sqlalchemy.select(tables.keys))

    with pytest.raises(DatabaseError, match=r"the database failed: (terminating|network)"):
        write()
    with store.database.read() as reading:
        assert reading.execute(sqlalchemy.select(tables.keys)).all() == []
    # It can be done again.
    assert store.database.key("a") != b"x"


def test_one_service_at_a_time(store: Store, opening: Opening) -> None:
    named(store, "mine")
    with pytest.raises(OtherServiceError, match="another service"):
        opening()
    store.close()
    assert opening().catalog.experiment_named("mine") is not None


def test_who_lost_the_database_to_another_writes_nothing(
    store: Store, opening: Opening, postgres: PostgresServer, login: Login
) -> None:
    named(store, "mine")
    cut(postgres, login)
    other = opening()
    with pytest.raises(OtherServiceError):
        named(store, "too late")
    assert other.catalog.experiment_named("too late") is None
    other.close()
    named(store, "again")


def test_who_leads_is_told(
    fresh: Callable[[Login], Database], postgres: PostgresServer, opening: Opening
) -> None:
    login = postgres.fresh()
    fresh(login).close()
    leadership = Leadership(login)
    try:
        assert _eventually(lambda: leadership.name() is None)
        database = open_postgresql(login, name="http://10.1.2.3:8888")
        assert leadership.name() == "http://10.1.2.3:8888"
        # Elsewhere on the server nobody does.
        elsewhere = Leadership(postgres.fresh())
        assert elsewhere.name() is None
        elsewhere.close()
        cut(postgres, login)
        assert leadership.name() is None
        # By what it writes next it does again.
        database.key("a")
        assert leadership.name() == "http://10.1.2.3:8888"
        database.close()
        assert _eventually(lambda: leadership.name() is None)
        quoted = open_postgresql(login, name="it's")
        assert leadership.name() == "it's"
        quoted.close()
    finally:
        leadership.close()
    for name in ("é", "x" * 64):
        with pytest.raises(ValueError, match="cannot be called"):
            open_postgresql(login, name=name)


def test_who_leads_is_told_to_who_acts_for_the_owner(
    postgres: PostgresServer, opening: Opening
) -> None:
    """As PostgreSQL charms make their users."""
    login = postgres.fresh()
    for statement in (
        "CREATE ROLE holder NOLOGIN",
        "CREATE ROLE acting LOGIN PASSWORD 'acting' IN ROLE holder",
        "ALTER ROLE acting SET role holder",
        f"ALTER DATABASE {login.database} OWNER TO holder",
    ):
        postgres.execute(statement)
    own = dataclasses.replace(login, username="acting", password="acting")
    leadership = Leadership(own)
    try:
        for each in (own, login):
            assert _eventually(lambda: leadership.name() is None)
            database = open_postgresql(each, name="http://10.1.2.3:8888")
            assert leadership.name() == "http://10.1.2.3:8888"
            database.close()
    finally:
        leadership.close()
        postgres.execute(f"ALTER DATABASE {login.database} OWNER TO admin")


def _eventually(condition: Callable[[], bool]) -> bool:
    """Tell whether a condition comes to hold: the server ends a session a moment later."""
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_lead_is_held_and_lost(
    store: Store, opening: Opening, postgres: PostgresServer, login: Login
) -> None:

    def bound() -> list[object]:
        with store.database.write() as connection:
            return [
                connection.exec_driver_sql(f"SHOW {name}").scalar_one()
                for name in ("idle_session_timeout", "idle_in_transaction_session_timeout")
            ]

    # Tables are made while the session is idle; from then on it must not be, for long.
    assert bound() == ["0", "0"]
    hold(store.database)
    assert bound() == ["20s", "20s"]
    cut(postgres, login)
    hold(store.database)
    assert bound() == ["20s", "20s"]
    cut(postgres, login)
    other = opening()
    with pytest.raises(OtherServiceError):
        hold(store.database)
    hold(other.database)


def test_a_lead_that_hangs_in_a_transaction_is_lost(
    store: Store, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "_IDLE", 1)
    hold(store.database)
    others: list[Store] = []

    def taken_over() -> bool:
        with contextlib.suppress(OtherServiceError):
            others.append(opening())
        return bool(others)

    def hang() -> None:
        with store.database.write() as connection:
            connection.execute(sqlalchemy.delete(tables.keys))
            assert _eventually(taken_over)
            others[0].database.key("kept")

    with pytest.raises(DatabaseError):
        hang()
    assert others[0].database.has_key("kept")


def test_writers_wait_for_each_other(store: Store) -> None:
    """Each adds one to what it read; none is lost."""
    store.database.key("count")

    def count() -> None:
        for _ in range(5):
            with store.database.write() as connection:
                value = connection.execute(sqlalchemy.select(tables.keys.c.value)).scalar_one()
                connection.execute(sqlalchemy.update(tables.keys).values(value=value + b"x"))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.database.key("count")) == 32 + 20


def test_a_server_that_vanishes_is_noticed(store: Store) -> None:
    """Within half a minute, where the system's own choice is two hours."""
    for transaction in (store.database.read, store.database.write):
        with transaction() as connection:
            driver = connection.connection.dbapi_connection
            assert driver is not None
            for option, value in ((socket.TCP_USER_TIMEOUT, 30_000), (socket.TCP_KEEPIDLE, 15)):
                assert driver._usock.getsockopt(socket.IPPROTO_TCP, option) == value


def test_a_reader_sees_one_state_and_changes_nothing(store: Store) -> None:
    with store.database.read() as connection:
        assert connection.execute(sqlalchemy.select(tables.keys)).all() == []
        store.database.key("new")
        assert connection.execute(sqlalchemy.select(tables.keys)).all() == []
    with pytest.raises(DatabaseError, match="read-only"), store.database.read() as connection:
        connection.execute(sqlalchemy.delete(tables.keys))


def test_what_postgresql_cannot_hold(store: Store) -> None:
    """A step may say anything; no record of it may fail for ever."""
    made = Experiment(experiment_id="e", display_name="a\0b", created=1.0)
    store.catalog.create_experiment(made)
    assert store.catalog.experiment("e").display_name == "a\ufffdb"
    odd = {"nul": "\0", "half": "\ud800", "nan": float("inf"), "large": 10**30}
    body = {"key": "k", "run_id": "r", "body": odd, "created": 1.0}
    with store.database.write() as connection:
        connection.execute(sqlalchemy.insert(tables.outbox).values(body))
    with store.database.read() as connection:
        assert connection.execute(sqlalchemy.select(tables.outbox.c.body)).scalar_one() == odd


def test_text_is_ordered_by_its_bytes(
    postgres: PostgresServer, store: Store, login: Login
) -> None:
    found = postgres.execute(
        "SELECT DISTINCT collation_name FROM information_schema.columns WHERE"
        " table_schema = 'public' AND data_type = 'text' AND table_name <> 'alembic_version'",
        login.database,
    )
    assert found == [("C",)]


def test_no_password_and_no_data_in_what_is_said(postgres: PostgresServer, store: Store) -> None:
    missing = Login(
        host="127.0.0.1", port=postgres.port, database="none", username="admin", password="hush"
    )
    with pytest.raises(DatabaseError) as raised:
        open_postgresql(missing)
    assert 'database "none" does not exist' in str(raised.value)
    away = Login(host="127.0.0.1", port=1, database="d", username="u", password="hush")
    with pytest.raises(DatabaseError, match=r"database d on 127\.0\.0\.1:1") as other:
        open_postgresql(away)
    for error in (raised, other):
        assert "hush" not in f"{error.value!r} {error.value.__cause__!r} {missing!r}"


REVISIONS = [revision.revision for revision in migrations.script().walk_revisions()]


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_earlier_database_is_brought_up_to_date(
    postgres: PostgresServer, fresh: Callable[[Login], Database], opening: Opening, revision: str
) -> None:
    login = postgres.fresh()
    engine = sqlalchemy.create_engine(
        f"postgresql+pg8000://admin@127.0.0.1:{postgres.port}/{login.database}"
    )
    with engine.begin() as connection:
        migrations.upgrade(connection, revision)
        connection.exec_driver_sql("INSERT INTO specs VALUES ('d', '{}')")
        connection.exec_driver_sql(
            "INSERT INTO runs (run_id, experiment_id, display_name, spec, parameters, created,"
            " history, sequence, phase) VALUES ('r', 'e', 'run', 'd', '{\"a\": 1}', 7.5, '[]', 1,"
            " 'PENDING')"
        )
        connection.exec_driver_sql(
            "INSERT INTO outbox (key, run_id, body, created) VALUES ('r/1', 'r', '{}', 7.5)"
        )
    engine.dispose()
    database = fresh(login)
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
    run = over(database).runs.run("r")
    assert (run.display_name, run.parameters, run.created) == ("run", {"a": 1}, 7.5)
    database.close()
    # It stays as it is from then on.
    assert over(fresh(login)).runs.active_runs() == ("r",)


def test_a_newer_database_is_left_alone(
    postgres: PostgresServer, fresh: Callable[[Login], Database], opening: Opening
) -> None:
    login = postgres.fresh()
    fresh(login).close()
    postgres.execute("UPDATE alembic_version SET version_num = '9999'", login.database)
    with pytest.raises(DatabaseError, match="newer version"):
        fresh(login)
    found = postgres.execute("SELECT version_num FROM alembic_version", login.database)
    assert found == [("9999",)]
