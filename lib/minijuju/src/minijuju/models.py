"""Models: the table of them and their configuration."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minijuju.errors import AlreadyExistsError, BadRequestError, NotFoundError
from minijuju.state import State
from minijuju.uniter import Life

CLOUD = "localhost"
"""The one cloud there is: this machine."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

WARM_START = "MINIJUJU_HOOK_WARM_START"
"""The controller's environment variable: `false` for models that do not say themselves."""

DEFAULTS: dict[str, Any] = {
    "agent-version": "3.6.12",
    "automatically-retry-hooks": True,
    "hook-retry-base": "5s",
    "hook-retry-max": "5m",
    "hook-warm-start": os.environ.get(WARM_START) != "false",
    "logging-config": "<root>=INFO",
    "max-action-results-age": "336h",
    "max-status-history-age": "336h",
    "type": "kubernetes",
    "unit-network": "shared",
    "unit-processes": "4096",
    "update-status-hook-interval": "5m",
}
"""Every key of a model's configuration that something reads, with its default."""

_NETWORK = "unit-network"
_PROCESSES = "unit-processes"
LEAST_PROCESSES = 64
"""Fewer would not let a hook of ordinary libraries run."""
_CHOICES = {_NETWORK: ("shared", "isolated")}
FIXED = ("agent-version", "type")
_DURATIONS = tuple(
    key for key, value in DEFAULTS.items() if isinstance(value, str) and _DURATION.fullmatch(value)
)


@dataclass(frozen=True, slots=True)
class Model:
    """One model; `config` holds what was set, without the defaults."""

    uuid: str
    name: str
    life: Life
    config: Mapping[str, Any]
    created: float
    destroy_storage: bool

    def setting(self, key: str) -> Any:
        """A value of the configuration, the default if it is not set."""
        return self.config.get(key, DEFAULTS[key])

    @property
    def isolated(self) -> bool:
        """Whether every unit has a network of its own."""
        return bool(self.setting(_NETWORK) == "isolated")

    @property
    def processes(self) -> int:
        """How many processes and threads each container of a unit may have."""
        return int(self.setting(_PROCESSES))

    def seconds(self, key: str) -> float:
        """A setting that is a duration."""
        return duration(str(self.setting(key)), key)


def duration(text: str, what: str) -> float:
    """Seconds of a Go duration such as `90s`, `1h30m` or `500ms`.

    Raises:
        BadRequestError: it is none, or not positive.
    """
    total, position = 0.0, 0
    for match in _DURATION.finditer(text):
        if match.start() != position:
            break
        total += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if position != len(text) or not text or total <= 0:
        raise BadRequestError(
            f"{what}: expected a duration such as 30s, 5m or 1h30m, got {text!r}"
        )
    return total


def _model(row: sqlite3.Row) -> Model:
    return Model(
        row["uuid"],
        row["name"],
        Life(row["life"]),
        json.loads(row["config"]),
        row["created"],
        bool(row["destroy_storage"]),
    )


def every(state: State) -> list[Model]:
    """All models by name."""
    return [_model(row) for row in state.rows("SELECT * FROM model ORDER BY name")]


def get(state: State, uuid: str) -> Model | None:
    """The model with this uuid."""
    row = state.row("SELECT * FROM model WHERE uuid = ?", uuid)
    return _model(row) if row else None


def named(state: State, name: str) -> Model:
    """The model that a user calls `[controller:][owner/]name`.

    Raises:
        NotFoundError: there is none.
    """
    if not isinstance(name, str) or not name:
        raise BadRequestError("no model named; add one with: juju add-model NAME")
    short = name.rpartition(":")[2].rpartition("/")[2]
    row = state.row("SELECT * FROM model WHERE name = ? OR uuid = ?", short, short)
    if row is None:
        raise NotFoundError(f"model {name!r} not found")
    return _model(row)


def add(
    state: State, name: str, config: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> Model:
    """Make a model; `defaults` are the operator's, where `config` says nothing else.

    Raises:
        BadRequestError: the name or the configuration is malformed.
        AlreadyExistsError: the name is taken.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 63:
        raise BadRequestError(
            f"{name!r} is not a valid model name: lower-case letters, digits and hyphens only,"
            " at most 63"
        )
    checked = {**(defaults or {}), **check_config(config)}
    with state.transaction():
        if state.row("SELECT 1 FROM model WHERE name = ?", name):
            raise AlreadyExistsError(f"model {name!r} already exists")
        identity = str(uuid.uuid4())
        state.execute(
            "INSERT INTO model VALUES (?, ?, ?, ?, ?, 0)",
            identity,
            name,
            Life.ALIVE,
            json.dumps(checked),
            time.time(),
        )
        state.touch(identity)
    return named(state, name)


def strangers(keys: Iterable[str]) -> list[str]:
    """Juju's warnings of keys that nothing reads; it keeps their values all the same."""
    return [
        f'WARNING key "{key}" is not defined in the current model configuration: possible'
        " misspelling"
        for key in keys
        if key not in DEFAULTS
    ]


def check_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a model's configuration, checked and of the right type.

    Raises:
        BadRequestError: a malformed key, or a value of the wrong kind.
    """
    checked: dict[str, Any] = {}
    for key, value in config.items():
        if not _NAME.fullmatch(key):
            raise BadRequestError(f"{key!r} is no key of a model's configuration")
        if key in FIXED and str(value) != str(DEFAULTS[key]):
            raise BadRequestError(f"{key!r} cannot be changed")
        if isinstance(DEFAULTS.get(key), bool):
            text = str(value).lower()
            if text not in ("true", "false"):
                raise BadRequestError(f"{key}: expected true or false, got {value!r}")
            checked[key] = text == "true"
            continue
        if not isinstance(value, str | int | float):
            raise BadRequestError(f"{key}: expected a string, got {value!r}")
        if key in _DURATIONS:
            duration(str(value), key)
        if key == _PROCESSES and (not str(value).isdecimal() or int(value) < LEAST_PROCESSES):
            raise BadRequestError(
                f"{key}: expected a number of at least {LEAST_PROCESSES}, got {value!r}"
            )
        if str(value) not in (choices := _CHOICES.get(key, (str(value),))):
            raise BadRequestError(f"{key}: expected {' or '.join(choices)}, got {value!r}")
        checked[key] = str(value)
    return checked


def changed_config(
    state: State, model: Model, values: Mapping[str, Any], reset: Sequence[str]
) -> dict[str, Any]:
    """A model's configuration as it would be after a change.

    Raises:
        BadRequestError: a malformed key, or a value of the wrong kind; another network for units
            that are there, whose processes run in the one that they have.
    """
    check_config({key: DEFAULTS.get(key, "") for key in reset})
    config = {key: value for key, value in model.config.items() if key not in reset}
    config.update(check_config(values))
    network = config.get(_NETWORK, DEFAULTS[_NETWORK])
    if network != model.setting(_NETWORK):
        count = len(state.rows("SELECT 1 FROM unit WHERE model = ?", model.uuid))
        if count:
            raise BadRequestError(
                f"{_NETWORK} cannot be changed while the model has units ({count} now): add a"
                f" model with juju add-model NAME --config {_NETWORK}={network}, or remove the"
                " units first"
            )
    return config


def set_config(
    state: State, model: Model, values: Mapping[str, Any], reset: Sequence[str]
) -> None:
    """Change a model's configuration.

    Raises:
        BadRequestError: as `changed_config`.
    """
    with state.transaction():
        config = changed_config(state, model, values, reset)
        state.execute("UPDATE model SET config = ? WHERE uuid = ?", json.dumps(config), model.uuid)
        state.touch(model.uuid)


def set_dying(state: State, model: Model, *, destroy_storage: bool) -> None:
    """Note that the model shall go."""
    with state.transaction():
        state.execute(
            "UPDATE model SET life = ?, destroy_storage = ? WHERE uuid = ?",
            Life.DYING,
            int(destroy_storage),
            model.uuid,
        )
        state.touch(model.uuid)


def remove(state: State, model: Model) -> None:
    """Forget the model and everything in it."""
    with state.transaction():
        state.execute("DELETE FROM model WHERE uuid = ?", model.uuid)
        state.execute("DELETE FROM sequence WHERE name LIKE ?", f"{model.uuid}/%")
        state.touch(model.uuid)
