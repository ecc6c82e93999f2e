"""Where the Kubernetes API is and how to prove who we are."""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from .errors import UnavailableError

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN_AGE: Final = 60.0


class ConnectionFileError(Exception):
    """A kubeconfig or a service account's files are missing or cannot be used; says which."""


@dataclass(slots=True)
class Connection:
    """The API's address and the credentials for it.

    Attributes:
        url: `https://host:port`.
        authority: PEM text of the CA, or "" for the system's.
        namespace: the namespace of the service account or of the kubeconfig's context.
        certificate: the files of a client certificate and of its key.
        pair: the same as PEM text.
    """

    url: str
    authority: str = ""
    namespace: str = "default"
    certificate: tuple[Path, Path] | None = None
    pair: tuple[str, str] | None = field(default=None, repr=False)
    _token: str = field(default="", repr=False)
    _token_file: Path | None = None
    _token_read: float = float("-inf")

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str] | None = None, folder: Path = SERVICE_ACCOUNT
    ) -> Connection:
        """Connect as a pod's service account, or as KUBECONFIG says if that is set.

        Raises:
            ConnectionFileError: neither is there.
        """
        environ = os.environ if environ is None else environ
        if environ.get("KUBECONFIG"):
            return cls.from_kubeconfig(Path(environ["KUBECONFIG"]))
        host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
        if not host or not port:
            raise ConnectionFileError(
                "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is no pod, "
                "or it has no service account (KUBECONFIG may name a kubeconfig instead)"
            )
        try:
            authority = (folder / "ca.crt").read_text()
            namespace = (folder / "namespace").read_text().strip()
        except OSError as error:
            raise ConnectionFileError(f"the service account's files: {error}") from error
        if ":" in host:
            host = f"[{host}]"
        return cls(f"https://{host}:{port}", authority, namespace, _token_file=folder / "token")

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Connection:
        """Connect as the current context of a kubeconfig says.

        Raises:
            ConnectionFileError: the file cannot be read, or has what is not supported here
                (credential plugins).
        """
        try:
            data = yaml.safe_load(path.read_text())
            context = _named(data, "contexts", "context", data["current-context"])
            cluster = _named(data, "clusters", "cluster", context["cluster"])
            user = _named(data, "users", "user", context["user"])
            authority = _inline(cluster, "certificate-authority", path.parent)
            token_file = user.get("tokenFile")
            certificate = pair = None
            if "client-certificate-data" in user and "client-key-data" in user:
                pair = (
                    _inline(user, "client-certificate", path.parent),
                    _inline(user, "client-key", path.parent),
                )
            elif "client-certificate" in user and "client-key" in user:
                certificate = (
                    path.parent / user["client-certificate"],
                    path.parent / user["client-key"],
                )
            elif "token" not in user and token_file is None:
                raise ConnectionFileError(
                    f"{path}: the user has neither a token nor a certificate; credential plugins "
                    "are not run here"
                )
            return cls(
                url=str(cluster["server"]).rstrip("/"),
                authority=authority,
                namespace=context.get("namespace", "default"),
                certificate=certificate,
                pair=pair,
                _token=user.get("token", ""),
                _token_file=path.parent / token_file if token_file else None,
            )
        except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            raise ConnectionFileError(f"{path}: not a usable kubeconfig: {error!r}") from error

    def headers(self) -> dict[str, str]:
        """Give the headers that prove who we are; a token file is read anew each minute.

        Raises:
            UnavailableError: the token's file cannot be read just now.
        """
        if self._token_file is not None and time.monotonic() - self._token_read > _TOKEN_AGE:
            try:
                self._token = self._token_file.read_text().strip()
            except OSError as error:
                raise UnavailableError(f"the service account's token: {error}") from error
            self._token_read = time.monotonic()
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def forget_token(self) -> None:
        """Read the token file again at the next request: the API refused the one at hand."""
        self._token_read = float("-inf")

    def tls(self) -> ssl.SSLContext:
        """Give the context that trusts the API's authority and no other."""
        context = ssl.create_default_context(cadata=self.authority or None)
        if self.certificate is not None:
            context.load_cert_chain(*self.certificate)
        if self.pair is not None:
            # The ssl module reads files alone; the folder is this user's only, and goes at once.
            with tempfile.TemporaryDirectory() as folder:
                files = (Path(folder, "certificate"), Path(folder, "key"))
                for file, text in zip(files, self.pair, strict=True):
                    file.touch(mode=0o600)
                    file.write_text(text)
                context.load_cert_chain(*files)
        return context


def _named(data: Any, group: str, kind: str, name: str) -> dict[str, Any]:
    for each in data[group]:
        if each["name"] == name:
            found = each[kind]
            if isinstance(found, dict):
                return found
    raise KeyError(f"{kind} {name}")


def _inline(entry: Mapping[str, Any], key: str, folder: Path) -> str:
    if f"{key}-data" in entry:
        return base64.b64decode(str(entry[f"{key}-data"])).decode()
    if key in entry:
        return (folder / str(entry[key])).read_text()
    return ""
