"""What the server is told on its command line: nothing secret, so that a layer can hold it."""

from __future__ import annotations

import argparse
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from toolkit_database import Login, url
from toolkit_objects import Location, LocationError, ObjectStore

LOG_LEVELS = ("debug", "info", "warning", "error")
MOST_WORKERS = 64
_STORES = "stores"
_PATHS = ("login", "artifact_store_credentials", "artifact_store_certificates")


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
        artifact_store: the object store that new artifacts go to (see `toolkit_objects.Location`);
            "" for the folder.
        artifact_store_credentials: the file of its keys (see `toolkit_objects.credentials`).
        artifact_store_certificates: a file of authorities to trust there, as PEM; None for those
            that everyone knows.
        artifact_links: whether clients are given links to the store, which they have to reach.
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
    artifact_store: str = ""
    artifact_store_credentials: Path | None = None
    artifact_store_certificates: Path | None = None
    artifact_links: bool = False
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
        if root.parts[0] == _STORES:
            raise SettingsError(f"--artifact-root: {_STORES} is for the server's own notes")
        self._check_store()

    def _check_store(self) -> None:
        if not self.artifact_store:
            if self.artifact_links:
                raise SettingsError("--artifact-links needs --artifact-store")
            return
        if self.artifact_store_credentials is None:
            raise SettingsError("--artifact-store needs --artifact-store-credentials")
        try:
            Location.parse(self.artifact_store)
        except LocationError as error:
            raise SettingsError(f"--artifact-store: {error}") from error

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

    @property
    def stores(self) -> Path:
        """The folder of the notes on which stores have artifacts."""
        return self.data / _STORES

    def objects(self) -> ObjectStore | None:
        """Give the object store that new artifacts go to; None if there is none.

        Raises:
            toolkit_objects.CredentialsError: its credentials cannot be used.
            OSError: the authorities to trust there cannot be read.
        """
        keys = self.artifact_store_credentials
        if not self.artifact_store or keys is None:
            return None
        return ObjectStore.open(self.artifact_store, keys, self.artifact_store_certificates)

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
                **{
                    name: Path(values[name]) if values[name] is not None else None
                    for name in _PATHS
                },
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
        "--artifact-store",
        default="",
        metavar="URI",
        help="where new artifacts go: s3://BUCKET/PREFIX?endpoint=https://HOST:PORT&region=…; "
        "left out, the artifacts' folder",
    )
    parser.add_argument(
        "--artifact-store-credentials",
        type=Path,
        help="YAML with access-key and secret-key, mode 0600",
    )
    parser.add_argument(
        "--artifact-store-certificates", type=Path, help="PEM of authorities to trust there"
    )
    parser.add_argument(
        "--artifact-links",
        action="store_true",
        help="clients reach the store: they send large files there and read from there by links",
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
