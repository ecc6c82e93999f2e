"""Connections to PostgreSQL: made with TLS where it is asked for, dropped once they are lost."""

from __future__ import annotations

import socket
from typing import Any

import sqlalchemy
from scramp import ScramException
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError

from .login import Login

PATIENCE = 60
"""Seconds that a server may take to answer, until the connection counts as lost."""

# The server ends the connection or starts (57P0x), has lost it (08xxx), or has become a copy of
# another that does not take changes (25006): connect anew, rather than fail for ever.
_LOST = ("08", "57P", "25006")
# That a server has vanished is noticed as soon, whoever waits for whom.
_SOCKET = {
    socket.TCP_KEEPIDLE: 15,
    socket.TCP_KEEPINTVL: 5,
    socket.TCP_KEEPCNT: 3,
    socket.TCP_USER_TIMEOUT: 30_000,
}
# That a client has vanished is noticed within half a minute, so that what it held is free again.
_KEEP_ALIVE = (
    "SET tcp_keepalives_idle = 15",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",
)


def engine(
    login: Login, *, patience: float | None = PATIENCE, **options: Any
) -> sqlalchemy.Engine:
    """Give an engine for a database; nothing is connected yet.

    Args:
        login: which one.
        patience: see `PATIENCE`; None for no bound.
        options: more for `sqlalchemy.create_engine`.

    Raises:
        LoginError: the authorities to trust cannot be read.
    """
    made = sqlalchemy.create_engine(
        url(login), connect_args=arguments(login, patience), pool_pre_ping=True, **options
    )
    watch(made)
    return made


def url(login: Login) -> sqlalchemy.URL:
    """Give where a database is, as SQLAlchemy writes it, without the password."""
    return sqlalchemy.URL.create(
        "postgresql+pg8000",
        username=login.username,
        host=login.host,
        port=login.port,
        database=login.database,
    )


def arguments(login: Login, patience: float | None = PATIENCE) -> dict[str, Any]:
    """Give what the driver needs beside the URL.

    Raises:
        LoginError: the authorities to trust cannot be read.
    """
    return {
        "password": login.password,
        "ssl_context": login.context(),
        "timeout": patience,
        "tcp_keepalive": True,
    }


def watch(target: Any, login: Login | None = None) -> None:
    """Let connections of an engine, or of `sqlalchemy.Engine` itself, be dropped once lost.

    Args:
        target: the engine; or the class, for those that others make.
        login: what they log in by, if they are not told otherwise.
    """

    def connect(dialect: Any, record: object, words: list[Any], options: dict[str, Any]) -> Any:
        if login is not None and dialect.driver == "pg8000":
            options.update({**arguments(login), **options})
        return _connect(dialect, record, words, options)

    event.listen(target, "do_connect", connect)
    event.listen(target, "connect", _prepare)
    event.listen(target, "handle_error", _judge)


def _connect(dialect: Any, record: object, words: list[Any], options: dict[str, Any]) -> Any:
    """Connect; what the driver lets through as it came is told as an error of its own."""
    if dialect.driver != "pg8000":
        return None
    try:
        return dialect.loaded_dbapi.connect(*words, **options)
    except (OSError, ScramException) as error:
        where = f"{options.get('host')}:{options.get('port')}"
        raise dialect.loaded_dbapi.InterfaceError(f"network error: {where}: {error}") from error


def _prepare(connection: Any, record: object) -> None:
    if not type(connection).__module__.startswith("pg8000"):
        return
    # The driver sets SO_KEEPALIVE, which means two hours, and takes no socket of ours.
    for option, value in _SOCKET.items():
        connection._usock.setsockopt(socket.IPPROTO_TCP, option, value)
    cursor = connection.cursor()
    try:
        for statement in _KEEP_ALIVE:
            cursor.execute(statement)
    finally:
        cursor.close()
    connection.commit()


def _judge(context: ExceptionContext) -> None:
    found = _report(context.original_exception)
    if found.get("C", "").startswith(_LOST):
        context.is_disconnect = True


def _report(error: BaseException | None) -> dict[str, str]:
    """Give the fields of a server's message, by PostgreSQL's letters; none if it is not one."""
    first = error.args[0] if error is not None and error.args else None
    return first if isinstance(first, dict) else {}


def words(error: DBAPIError) -> str:
    """Give what the server or the driver said, without the statement and users' data."""
    return _report(error.orig).get("M") or str(error.orig)
