"""What models begin with, and what their applications get: defaults and constraints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from minijuju import constraints, models
from minijuju.constraints import Constraint
from minijuju.models import DEFAULTS, Model
from minijuju.state import State

_META = "model-defaults"


def defaults(state: State) -> dict[str, Any]:
    """What the operator set for models that are added."""
    found: dict[str, Any] = json.loads(state.meta(_META) or "{}")
    return found


def set_defaults(state: State, values: Mapping[str, Any], reset: Sequence[str]) -> None:
    """Change them; models that are there stay as they are. Call inside a transaction.

    Raises:
        BadRequestError: a malformed key, or a value of the wrong kind.
    """
    models.check_config({key: DEFAULTS.get(key, "") for key in reset})
    kept = {key: value for key, value in defaults(state).items() if key not in reset}
    state.set_meta(_META, json.dumps({**kept, **models.check_config(values)}))


def defaults_document(state: State) -> dict[str, Any]:
    """The document of `juju model-defaults`."""
    chosen = defaults(state)
    return {
        key: {
            **({"default": DEFAULTS[key]} if key in DEFAULTS else {}),
            **({"controller": chosen[key]} if key in chosen else {}),
        }
        for key in sorted({*DEFAULTS, *chosen})
    }


def config_document(state: State, model: Model) -> dict[str, Any]:
    """The document of `juju model-config`."""
    chosen = defaults(state)

    def source(key: str) -> str:
        if key not in model.config:
            return "default"
        return "controller" if chosen.get(key) == model.config[key] else "model"

    values = {**DEFAULTS, **model.config}
    return {key: {"Value": values[key], "Source": source(key)} for key in sorted(values)}


def model_constraints(state: State, model: str) -> dict[str, Constraint]:
    """A model's constraints, by its uuid."""
    row = state.row("SELECT constraints FROM model_constraints WHERE model = ?", model)
    found: dict[str, Constraint] = json.loads(row[0]) if row else {}
    return found


def constraints_text(state: State, model: Model) -> str:
    """A model's constraints as people write them."""
    return constraints.render(model_constraints(state, model.uuid))


def set_constraints(state: State, model: Model, values: Mapping[str, Constraint]) -> None:
    """Replace a model's constraints; call inside a transaction."""
    state.execute(
        "INSERT INTO model_constraints VALUES (?, ?)"
        " ON CONFLICT DO UPDATE SET constraints = excluded.constraints",
        model.uuid,
        json.dumps(dict(values)),
    )
