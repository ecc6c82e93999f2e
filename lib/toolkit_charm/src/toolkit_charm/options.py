"""Charm config as a pydantic model, with errors that name the option."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import pydantic

_SHOWN = 60  # characters of a wrong value that a message repeats


class OptionsError(ValueError):
    """A charm option has a value that cannot be used; the message names it and says why."""


def _option(field: str) -> str:
    return field.replace("_", "-")


class Options(pydantic.BaseModel):
    """The options of one charm: a field `log_level` is the option `log-level`.

    Every option of charmcraft.yaml needs a field and the other way round, so that no option is
    declared that nobody reads. Defaults are charmcraft.yaml's; only an option without one has a
    default here.
    """

    model_config = pydantic.ConfigDict(
        alias_generator=_option, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    @classmethod
    def load(cls, config: Mapping[str, object]) -> Self:
        """Validate what `config-get` gave.

        Raises:
            OptionsError: an option is wrong; all wrong ones are named.
        """
        try:
            return cls.model_validate(dict(config))
        except pydantic.ValidationError as error:
            reasons = []
            for detail in error.errors(include_url=False, include_context=False):
                option = str(detail["loc"][0]) if detail["loc"] else "config"
                reason = detail["msg"].removeprefix("Value error, ")
                shown = repr(config.get(option))[:_SHOWN]
                reasons.append(f"{option}: {reason[0].lower()}{reason[1:]} (found {shown})")
            raise OptionsError("; ".join(reasons)) from error
