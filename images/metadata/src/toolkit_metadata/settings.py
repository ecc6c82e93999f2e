"""What the server is told on its command line: nothing secret, so that a layer can hold it."""

from __future__ import annotations

import argparse
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from toolkit_database import Login, url

LOG_LEVELS = ("debug", "info", "warning", "error")
MOST_WORKERS = 64


class SettingsError(ValueError):
    """A setting that cannot be used; the message names the option and says what to write."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How one server runs.

    Attributes:
        address: the IP address to listen on.
        port: the TCP port to listen on.
        data: the folder that holds the database and, below it, the artifacts.
        artifact_root: the artifacts' folder, relative to `data`.
        tokens: the token file (see `toolkit_identity.TokenFile`).
        login: the file that says where PostgreSQL is (see `toolkit_database.login`), and keeps
            runs and models there; None for SQLite, in `data`.
        allowed_hosts: the hosts the server answers to, besides its own address.
        log_level: one of `LOG_LEVELS`.
        workers: the number of server processes.
    """

    address: str
    port: int
    data: Path
    tokens: Path
    login: Path | None = None
    artifact_root: str = "artifacts"
    allowed_hosts: tuple[str, ...] = ()
    log_level: str = "info"
    workers: int = 1

    def __post_init__(self) -> None:
        try:
            ipaddress.ip_address(self.address)
        except ValueError:
            raise SettingsError(
                f"--address {self.address!r} is not an IP address; write 127.0.0.1, say"
            ) from None
        if not 0 < self.port < 65536:
            raise SettingsError(f"--port {self.port} is not a port; write 1 to 65535")
        if not 0 < self.workers <= MOST_WORKERS:
            raise SettingsError(f"--workers {self.workers}: write 1 to {MOST_WORKERS}")
        if self.log_level not in LOG_LEVELS:
            raise SettingsError(
                f"--log-level {self.log_level!r}: write one of {', '.join(LOG_LEVELS)}"
            )
        if self.login is not None and not self.login.is_absolute():
            raise SettingsError(f"--login {str(self.login)!r} is not an absolute path")
        if not self.data.is_absolute():
            raise SettingsError(f"--data {str(self.data)!r} is not an absolute path")
        root = PurePosixPath(self.artifact_root)
        if root.is_absolute() or not root.parts or ".." in root.parts or "\0" in str(root):
            raise SettingsError(
                f"--artifact-root {self.artifact_root!r} is not a folder below the data folder; "
                "write a relative path without '..'"
            )

    @property
    def database(self) -> Path:
        """The SQLite database of runs and models."""
        return self.data / "mlflow.db"

    @property
    def database_uri(self) -> str:
        """The database as SQLAlchemy names it, without a password.

        Raises:
            toolkit_database.LoginError: the login file cannot be used.
        """
        if self.login is None:
            return f"sqlite:///{self.database}"
        return url(Login.read(self.login)).render_as_string()

    @property
    def artifacts(self) -> Path:
        """The folder of the artifacts."""
        return self.data / self.artifact_root

    def to_json(self) -> str:
        """Write the settings down for a worker process."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        return cls(
            **values
            | {
                "data": Path(values["data"]),
                "tokens": Path(values["tokens"]),
                "login": Path(values["login"]) if values["login"] is not None else None,
                "allowed_hosts": tuple(values["allowed_hosts"]),
            }
        )


def parse(arguments: Sequence[str]) -> Settings:
    """Read a command line.

    Raises:
        SettingsError: a value cannot be used.
        SystemExit: an option is unknown or missing (argparse has said which).
    """
    parser = argparse.ArgumentParser(
        prog="python -m toolkit_metadata",
        description="Serve MLflow's tracking server, registry, artifacts and pages.",
        allow_abbrev=False,
    )
    parser.add_argument("--address", default="127.0.0.1", help="the IP address to listen on")
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of the database and the artifacts"
    )
    parser.add_argument(
        "--artifact-root", default="artifacts", help="the artifacts' folder below the data folder"
    )
    parser.add_argument(
        "--tokens", type=Path, required=True, help="file of NAME:SECRET lines, mode 0600"
    )
    parser.add_argument(
        "--login",
        type=Path,
        help="file that says where PostgreSQL is, mode 0600; left out, SQLite in the data folder",
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        dest="allowed_hosts",
        metavar="HOST",
        help="a Host to answer to besides the address itself; may be given several times",
    )
    parser.add_argument("--log-level", default="info", choices=LOG_LEVELS)
    parser.add_argument("--workers", type=int, default=1, help="server processes")
    values = vars(parser.parse_args(arguments))
    return Settings(**values | {"allowed_hosts": tuple(values["allowed_hosts"])})
