"""Where artifacts are kept, if not on the storage: in an object store, by config or by relation.

The options are `artifact-store` and `artifact-store-credentials`. The relation's interface is
`s3`, of the object storage integrators; its library reads it. Needs the extra `toolkit-charm[s3]`.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlsplit

import ops
import pydantic
import yaml
from object_storage import S3Requirer

from . import probe, user_secrets
from .charm import ToolkitCharm
from .status import Blocked, Waiting
from .workload import File

RELATION = "s3"
KEYS = ("access-key", "secret-key")
_CREDENTIALS = "artifact-store-credentials"
# The service tries a store that does not answer for about this long.
_SECONDS = 25.0
_LONGEST = 300  # characters of a status
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9_.\-]+(/[A-Za-z0-9_.\-]+)*")
# The parameters of KFP's launcher that the service knows, each with what it may be.
_PARAMETERS = {
    "endpoint": re.compile(r"(https?://)?[^\s/?#@]+/?"),
    "region": re.compile(r"[A-Za-z0-9-]{1,64}"),
    "disableSSL": re.compile(r"true|false"),
    "s3ForcePathStyle": re.compile(r"true|false"),
    "use_path_style": re.compile(r"true|false"),
}


@dataclass(frozen=True, slots=True)
class ArtifactStore:
    """An object store that speaks S3.

    Attributes:
        uri: where in it, and where it is, as KFP writes it.
        keys: its credentials: `access-key`, `secret-key`, maybe `session-token`.
        certificates: authorities to trust there, as PEM; "" for those that everyone knows.
    """

    uri: str
    keys: Mapping[str, str] = field(repr=False)
    certificates: str = ""

    def files(self, keys: str, authorities: str) -> tuple[File, ...]:
        """Give the private files of it; that of the authorities only where there are some.

        Args:
            keys: the path of the credentials, in YAML.
            authorities: the path of the authorities, in PEM.
        """
        found = (File(keys, yaml.safe_dump(dict(self.keys)), restart=True),)
        if not self.certificates:
            return found
        return (*found, File(authorities, f"{self.certificates}\n", restart=True))


def checked_uri(text: str) -> str:
    """Give the URI of an object store; ValueError if it is none, "" stays so.

    What is wrong is not quoted where it may be a secret.
    """
    if not text:
        return text
    example = "write s3://BUCKET/PREFIX?endpoint=https://HOST:PORT&region=REGION, or nothing"
    try:
        parts = urlsplit(text)
        given = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise ValueError(example) from error
    prefix = parts.path.strip("/")
    if parts.scheme != "s3" or parts.fragment or not text.isprintable():
        raise ValueError(example)
    if "@" in parts.netloc:
        raise ValueError(f"credentials belong into {_CREDENTIALS}")
    if not _BUCKET.fullmatch(parts.netloc):
        raise ValueError(f"{parts.netloc!r} is no name of a bucket; {example}")
    if prefix and (not _PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/"))):
        raise ValueError(
            "a prefix may have letters, digits, dots, dashes, underscores and slashes"
        )
    for name, value in given:
        if name not in _PARAMETERS:
            raise ValueError(f"unknown parameter {name!r}; known are {', '.join(_PARAMETERS)}")
        if not _PARAMETERS[name].fullmatch(value):
            raise ValueError(f"the parameter {name} is none; {example}")
    return text


StoreUri = Annotated[str, pydantic.AfterValidator(checked_uri)]
"""The option `artifact-store`."""


class ArtifactStores:
    """The object store of one charm, by config or by the relation `s3`.

    Args:
        charm: the charm.
    """

    def __init__(self, charm: ToolkitCharm[Any]) -> None:
        self._charm = charm
        self._requirer = S3Requirer(charm, RELATION)

    def load(self, uri: str, credentials: str) -> ArtifactStore | None:
        """Give the object store that config or the relation names; None if neither does.

        Args:
            uri: the option artifact-store.
            credentials: the option artifact-store-credentials.

        Raises:
            Blocked: what is given is not enough, or too much.
            Waiting: the relation has not told yet.
        """
        related = self._charm.model.get_relation(RELATION)
        related = related if related is not None and related.active else None
        if not uri:
            if credentials:
                raise Blocked(f"config {_CREDENTIALS}: set artifact-store as well")
            return _related(self._requirer, related) if related is not None else None
        if related is not None:
            raise Blocked("config artifact-store and the relation s3 both name a store: drop one")
        if not credentials:
            raise Blocked(
                f"config {_CREDENTIALS}: artifact-store needs it; run "
                "`juju add-secret store access-key=… secret-key=…`"
            )
        found = dict(user_secrets.content(self._charm, _CREDENTIALS, credentials, KEYS))
        certificates = found.pop("tls-ca-chain", "")
        known = {*KEYS, "session-token"}
        return ArtifactStore(uri, {k: v for k, v in found.items() if k in known}, certificates)

    def check(self, url: str, token: str) -> None:
        """Let the workload try its store, if it has one.

        Args:
            url: where it tells: JSON with `problem`, "" if there is none, and `transient`.
            token: the application's.

        Raises:
            Blocked, Waiting: the store cannot be used; with what it said.
        """
        answer = probe.get(url, token=token, timeout=_SECONDS)
        if answer is None and self._charm.answers(hopeless=self._charm.known_down):
            # It went in between, and no event need come of its return.
            answer = probe.get(url, token=token, timeout=_SECONDS)
        if answer is not None and answer[0] == 404:
            # An image of before there were stores: the charm was refreshed first.
            return
        if answer is None or answer[0] != 200:
            raise Waiting("the artifact store is being tried")
        found = json.loads(answer[1])
        if found["problem"]:
            problem = textwrap.shorten(found["problem"], _LONGEST, placeholder=" …")
            raise (Waiting if found["transient"] else Blocked)(problem)


def _related(requirer: S3Requirer, relation: ops.Relation) -> ArtifactStore:
    other = relation.app.name if relation.app is not None else RELATION
    try:
        found: dict[str, Any] = {**requirer.get_storage_connection_info(relation)}
    except (ops.SecretNotFoundError, ops.ModelError) as error:
        raise Waiting(f"{other} has not granted its credentials yet") from error
    if not all(found.get(key) for key in KEYS):
        raise Waiting(f"{other} has not published an object store yet")
    if not found.get("bucket"):
        raise Blocked(f"relation s3: {other} names no bucket; run `juju config {other} bucket=…`")
    parameters = {name: found.get(name, "") for name in ("endpoint", "region")}
    if style := found.get("s3-uri-style", ""):
        parameters["s3ForcePathStyle"] = "true" if style == "path" else "false"
    query = "&".join(f"{k}={quote(str(v), safe=':/[]')}" for k, v in parameters.items() if v)
    path = str(found.get("path", "")).strip("/")
    uri = f"s3://{found['bucket']}/{path}".rstrip("/") + (f"?{query}" if query else "")
    try:
        checked_uri(uri)
    except ValueError as error:
        raise Blocked(f"relation s3: what {other} published: {error}") from error
    chain = found.get("tls-ca-chain") or []
    keys = {key: str(found[key]) for key in KEYS}
    return ArtifactStore(uri, keys, "\n".join([chain] if isinstance(chain, str) else chain))
