"""Everything that can be set, from one YAML file, each value checked.

An environment variable `TOOLKIT_PIPELINES_NAME` (the setting's name in capitals, its value as
YAML) comes before the file. Secrets are never settings: they are files that a setting names.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from toolkit_jobs import PodOptions, PodOptionsError, options
from toolkit_jobs.quantities import mebibytes
from toolkit_objects import Location, LocationError

from .imagemap import ImageMap, ImageMapError

PREFIX = "TOOLKIT_PIPELINES_"

LOG_LEVELS = ("debug", "info", "warning", "error")
TRANSFERS = ("volume", "endpoint", "store")
MAX_COUNT = 1_000_000
MAX_TTL = 1000 * 365 * 24 * 3600


class SettingsError(ValueError):
    """A setting cannot be used; the message names it, the value and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The service's settings.

    Attributes:
        name: the service's name; its pods carry it as a label.
        host: the address to bind.
        port: the port to bind; 0 for any free one.
        state: the folder of the database and of what the engine keeps for itself.
        database_file: the file that says where PostgreSQL is (see `toolkit_database.login`), and
            keeps the data there; None for SQLite, in the state folder.
        begins: whether this service may be the first on a database of PostgreSQL. Of several on
            one database one may: the one that has, or had, something on its volume.
        pipeline_root: the folder that artifacts lie below, as this service sees it.
        environments: the folder of built environments, as this service sees it.
        token_file: the file of the tokens that callers present (see `toolkit_identity`).
        allowed_hosts: the `Host` headers that are answered.
        allowed_origins: origins besides the service's own whose pages may call.
        log_level: one of `LOG_LEVELS`.
        parallelism: the most step pods at a time, over all runs.
        namespace: the Kubernetes namespace of the step pods.
        kubeconfig: where the pods of steps go, if not to the cluster that this service runs in;
            they are then in the namespace of its current context.
        pipeline_root_claim: the persistent volume claim of `pipeline_root`.
        environments_claim: the persistent volume claim of `environments`.
        artifact_transfer: how steps get and give files: `volume` (they mount both claims),
            `endpoint` (from and to this service over HTTP; no claim is mounted) or `store` (from
            and to the object store; likewise).
        artifact_address: where steps reach this service for that, `http://HOST:PORT`.
        artifact_store: the object store that artifacts are kept in, as `locations` has it.
        artifact_store_credentials: the file of its credentials (see `objects.credentials`).
        artifact_store_certificates: a file of authorities to trust there, as PEM; None for those
            that everyone knows.
        step_image: the image that carries the launcher and uv.
        default_cpu: what a step asks for that does not say (a Kubernetes quantity; "" for none).
        default_memory: likewise, as its request and its limit.
        pods: what every step's pod has beyond its own request: GPUs, placement, queue
            (`toolkit_jobs.options` lists it).
        reserved_labels: labels (`NAME` or `NAME=VALUE`) of secrets, config maps and claims that
            no step may read, whatever its pipeline says.
        metadata_url: the MLflow server that runs are recorded in; "" to keep the records waiting.
        metadata_token_file: the file that holds the token for it; one line.
        metadata_secret: the Kubernetes secret that holds it as `token`, for the steps.
        caching: whether tasks that may be are given what earlier executions gave.
        cache_ttl: seconds after which these are not taken any more; 0 for ever.
        run_retention: seconds after which a run that has ended is removed; 0 for never.
        run_retention_count: how many runs that have ended are kept; 0 for all.
        failure_webhook_file: the file of the address that is told of runs that failed (see
            `webhook`); None to tell none.
        failure_webhook_key_file: the file of the key that this is signed by; None to sign nothing.
        url: where clients reach this service, for links to it; "" if that is not known.
        environments_limit: how much the environments of this service may take on their volume (a
            Kubernetes quantity); those used longest ago are removed beyond it. "" for no bound.
        image_map: which images steps have in place of those that pipelines name (see `imagemap`).
        index_url: the package index that environments are built from; "" for uv's own choice.
        offline: whether no index is asked, and packages come from the builds' cache alone.
    """

    name: str = "pipelines"
    host: str = "127.0.0.1"
    port: int = 8888
    state: Path
    database_file: Path | None = None
    begins: bool = True
    pipeline_root: Path
    environments: Path
    token_file: Path
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    allowed_origins: tuple[str, ...] = ()
    log_level: str = "info"
    parallelism: int = 8
    namespace: str = "default"
    kubeconfig: Path | None = None
    pipeline_root_claim: str = ""
    environments_claim: str = ""
    artifact_transfer: str = "volume"
    artifact_address: str = ""
    artifact_store: str = ""
    artifact_store_credentials: Path | None = None
    artifact_store_certificates: Path | None = None
    step_image: str = ""
    default_cpu: str = ""
    default_memory: str = ""
    pods: Mapping[str, Any] = field(default_factory=dict)
    reserved_labels: tuple[str, ...] = ()
    metadata_url: str = ""
    metadata_token_file: Path | None = None
    metadata_secret: str = ""
    caching: bool = True
    cache_ttl: int = 0
    run_retention: int = 0
    run_retention_count: int = 0
    failure_webhook_file: Path | None = None
    failure_webhook_key_file: Path | None = None
    url: str = ""
    environments_limit: str = ""
    image_map: Mapping[str, str] = field(default_factory=dict)
    index_url: str = ""
    offline: bool = False


_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s]*)?")


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: the file cannot be read, or a setting is unknown, missing or wrong.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} is not YAML: {error}") from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise SettingsError(f"{path} must hold a map of settings, not {type(data).__name__}")
    for name, text in environment.items():
        if name.startswith(PREFIX):
            try:
                data[name.removeprefix(PREFIX).lower()] = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise SettingsError(f"{name} is not YAML: {error}") from error
    return from_data(data)


def from_data(data: Mapping[Any, Any]) -> Settings:
    """Check settings that were read; SettingsError says what is wrong with them."""
    fields = {each.name: each for each in dataclasses.fields(Settings)}
    unknown = sorted(str(name) for name in data if name not in fields)
    if unknown:
        raise SettingsError(
            f"unknown setting {unknown[0]!r}; known settings: {', '.join(sorted(fields))}"
        )
    missing = [
        name
        for name, each in fields.items()
        if each.default is dataclasses.MISSING
        and each.default_factory is dataclasses.MISSING
        and data.get(name) is None
    ]
    if missing:
        raise SettingsError(f"the setting {missing[0]!r} is missing")
    values = {
        name: _CHECKS[name](name, value) for name, value in data.items() if value is not None
    }
    settings = Settings(**values)
    if settings.artifact_transfer != "volume" and not settings.artifact_address:
        raise SettingsError(
            f"artifact_transfer {settings.artifact_transfer!r} needs artifact_address: where "
            "steps reach this service, such as http://10.0.0.7:8888"
        )
    if settings.kubeconfig is not None and settings.artifact_transfer == "volume":
        raise SettingsError(
            "kubeconfig sends steps to a cluster that has no claim of this service: set "
            "artifact_transfer to endpoint or store"
        )
    if (settings.artifact_transfer == "store") != bool(settings.artifact_store):
        raise SettingsError(
            "artifact_transfer is store where artifact_store is set, and only there"
        )
    if settings.artifact_store and settings.artifact_store_credentials is None:
        raise SettingsError("artifact_store needs artifact_store_credentials")
    if settings.failure_webhook_key_file is not None and settings.failure_webhook_file is None:
        raise SettingsError("failure_webhook_key_file needs failure_webhook_file")
    return settings


def _wrong(name: str, value: object, wanted: str) -> SettingsError:
    return SettingsError(f"{name} must be {wanted}, not {value!r}")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise _wrong(name, value, "a line of text")
    return value


def _matching(pattern: re.Pattern[str], wanted: str) -> Callable[[str, object], str]:
    def check(name: str, value: object) -> str:
        text = _text(name, value)
        if text and not pattern.fullmatch(text):
            raise _wrong(name, value, wanted)
        return text

    return check


def _number(low: int, high: int) -> Callable[[str, object], int]:
    def check(name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _wrong(name, value, f"a whole number from {low} to {high}")
        return value

    return check


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, value, "true or false")
    return value


def _path(name: str, value: object) -> Path:
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise _wrong(name, value, "an absolute path")
    return Path(value)


def _texts(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _wrong(name, value, "a list of texts")
    return tuple(_text(name, each) for each in value)


def _one_of(words: tuple[str, ...]) -> Callable[[str, object], str]:
    def check(name: str, value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise _wrong(name, value, f"one of {', '.join(words)}")
        return value

    return check


def _location(name: str, value: object) -> str:
    text = _text(name, value)
    try:
        if text:
            Location.parse(text)
    except LocationError as error:
        raise SettingsError(f"{name}: {error}") from error
    return text


def _images(name: str, value: object) -> Mapping[str, str]:
    try:
        ImageMap.read(value)
    except ImageMapError as error:
        raise SettingsError(f"{name}: {error}") from error
    assert isinstance(value, dict)  # noqa: S101 - as what was read is
    return value


def _pods(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(name, value, "a map of options")
    try:
        options.read(value, PodOptions("default", {}))
    except PodOptionsError as error:
        raise SettingsError(f"{name}: {error}") from error
    return value


_quantity = _matching(_QUANTITY, "a Kubernetes quantity such as 500m or 2Gi")


def _size(name: str, value: object) -> str:
    text = _quantity(name, value)
    if text and mebibytes(text) < 1:
        raise _wrong(name, value, "a Kubernetes quantity of a mebibyte or more, such as 20Gi")
    return text


_name = _matching(_NAME, "a Kubernetes name")
_label = _matching(_LABEL, "a lower-case name of at most 63 characters")
_url = _matching(_URL, "an http or https address without a user in it")

_CHECKS: Mapping[str, Callable[[str, object], Any]] = {
    "name": _label,
    "host": _text,
    "port": _number(0, 65535),
    "state": _path,
    "database_file": _path,
    "begins": _flag,
    "pipeline_root": _path,
    "environments": _path,
    "token_file": _path,
    "allowed_hosts": _texts,
    "allowed_origins": _texts,
    "log_level": _one_of(LOG_LEVELS),
    "parallelism": _number(1, 1000),
    "namespace": _name,
    "kubeconfig": _path,
    "pipeline_root_claim": _name,
    "environments_claim": _name,
    "artifact_transfer": _one_of(TRANSFERS),
    "artifact_address": _url,
    "artifact_store": _location,
    "artifact_store_credentials": _path,
    "artifact_store_certificates": _path,
    "step_image": _text,
    "default_cpu": _quantity,
    "default_memory": _quantity,
    "pods": _pods,
    "reserved_labels": _texts,
    "metadata_url": _url,
    "metadata_token_file": _path,
    "metadata_secret": _name,
    "caching": _flag,
    "cache_ttl": _number(0, MAX_TTL),
    "run_retention": _number(0, MAX_TTL),
    "run_retention_count": _number(0, MAX_COUNT),
    "failure_webhook_file": _path,
    "failure_webhook_key_file": _path,
    "url": _url,
    "environments_limit": _size,
    "image_map": _images,
    "index_url": _url,
    "offline": _flag,
}
