"""How to reach a control plane: what of a kubeconfig a node needs."""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tinykube.pki import write_private


class KubeconfigError(Exception):
    """The kubeconfig cannot be used; the message says where and what to do."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A control plane, and who asks.

    Attributes:
        server: its address, `https://HOST:PORT`.
        authority: its CA, PEM.
        certificate, key: the files of the client's certificate; None for a token.
        token: the bearer token, or the file that holds one and may change.
    """

    server: str
    authority: str
    certificate: Path | None = None
    key: Path | None = None
    token: str | Path | None = None

    @property
    def host(self) -> str:
        """The server's name or address."""
        return urlsplit(self.server).hostname or ""

    @property
    def port(self) -> int:
        """The server's port."""
        return urlsplit(self.server).port or 443

    def tls(self) -> ssl.SSLContext:
        """The context of a client: the server is verified, the client's certificate shown."""
        context = ssl.create_default_context(cadata=self.authority)
        if self.certificate is not None and self.key is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context

    def headers(self) -> dict[str, str]:
        """What each request carries."""
        token = self.token
        if isinstance(token, Path):
            token = token.read_text(encoding="ascii").strip()
        return {"Authorization": f"Bearer {token}"} if token else {}


def read(path: Path, keep: Path) -> Connection:
    """Read a kubeconfig's current context.

    Args:
        path: the kubeconfig.
        keep: a private folder for a certificate and key that are inside the kubeconfig.

    Raises:
        KubeconfigError: it cannot be read or used.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise KubeconfigError(f"{path} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise KubeconfigError(f"{path} is no kubeconfig: it is not a mapping")
    context = _named(path, data, "contexts", "context", str(data.get("current-context") or ""))
    cluster = _named(path, data, "clusters", "cluster", str(context.get("cluster") or ""))
    user = _named(path, data, "users", "user", str(context.get("user") or ""))
    server = str(cluster.get("server") or "")
    if not server.startswith("https://"):
        raise KubeconfigError(f"{path}: server is {server!r}; it must begin with https://")
    if cluster.get("insecure-skip-tls-verify"):
        raise KubeconfigError(
            f"{path}: insecure-skip-tls-verify would send this node's credentials to anybody; "
            "put the server's authority into certificate-authority-data"
        )
    authority = _bytes(path, cluster, "certificate-authority")
    if authority is None:
        raise KubeconfigError(f"{path}: the cluster has no certificate-authority(-data)")
    refused = [field for field in ("exec", "auth-provider", "username") if user.get(field)]
    if refused:
        raise KubeconfigError(
            f"{path}: {refused[0]!r} is no way for a node to say who it is; use a client "
            "certificate or a token"
        )
    certificate, key = (_file(path, user, name, keep) for name in _PAIR)
    if (certificate is None) != (key is None):
        raise KubeconfigError(f"{path}: client-certificate and client-key come together")
    token: str | Path | None = user.get("token")
    if user.get("tokenFile"):
        token = path.parent / str(user["tokenFile"])
    if certificate is None and not token:
        raise KubeconfigError(f"{path}: the user has neither a client certificate nor a token")
    return Connection(server.rstrip("/"), authority.decode("ascii"), certificate, key, token)


_PAIR = ("client-certificate", "client-key")


def _named(path: Path, data: Mapping[str, Any], group: str, kind: str, name: str) -> Any:
    for item in data.get(group) or ():
        if isinstance(item, dict) and item.get("name") == name:
            found = item.get(kind)
            if isinstance(found, dict):
                return found
    raise KubeconfigError(f"{path}: there is no {kind} {name!r} in {group}")


def _bytes(path: Path, body: Mapping[str, Any], field: str) -> bytes | None:
    try:
        if inside := body.get(f"{field}-data"):
            return base64.b64decode(inside, validate=True)
        if named := body.get(field):
            return (path.parent / str(named)).read_bytes()
    except (binascii.Error, ValueError) as error:
        raise KubeconfigError(f"{path}: {field}-data is not base64: {error}") from error
    except OSError as error:
        raise KubeconfigError(f"{path}: {field}: {error}") from error
    return None


def _file(path: Path, body: Mapping[str, Any], field: str, keep: Path) -> Path | None:
    if not body.get(f"{field}-data"):
        named = body.get(field)
        return None if named is None else path.parent / str(named)
    data = _bytes(path, body, field)
    keep.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = keep / f"{field}.pem"
    write_private(kept, data or b"")
    return kept
