"""Charm config as a pydantic model, with errors that name the option."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

import pydantic

_SHOWN = 60  # characters of a wrong value that a message repeats


_HOST = re.compile(
    r"\*|(\*\.)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(:([0-9]{1,5}|\*))?"
    r"|\[[0-9A-Fa-f:.]+\](:([0-9]{1,5}|\*))?"
)


def _hosts(text: object) -> tuple[str, ...]:
    hosts = tuple(part.strip() for part in str(text).split(",") if part.strip())
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise ValueError(
                f"{host[:_SHOWN]!r} is not a host; write names or addresses such as "
                "ml.example.com, *.example.com or 10.0.0.7:5000, separated by commas"
            )
    return hosts


# Options that several charms have.
AllowedHosts = Annotated[tuple[str, ...], pydantic.BeforeValidator(_hosts)]
LogLevel = Literal["debug", "info", "warning", "error"]


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
                reason = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
                shown = repr(config.get(option))[:_SHOWN]
                reasons.append(f"{option}: {reason[0].lower()}{reason[1:]} (found {shown})")
            raise OptionsError("; ".join(reasons)) from error
