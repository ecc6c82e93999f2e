"""Channels and bases, as Juju writes them: `14/stable`, `edge`, `ubuntu@24.04/stable`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import BadRequestError

RISKS = ("edge", "beta", "candidate", "stable")
"""The least stable first."""

SYSTEMS = ("ubuntu", "centos", "opensuse", "genericlinux", "windows", "osx")
SERIES = {"focal": "20.04", "jammy": "22.04", "noble": "24.04", "resolute": "26.04"}
"""The names that Ubuntu's releases have in older bundles."""

_PART = re.compile(r"[^/\s]+")


class ChannelError(BadRequestError):
    """A channel or base that cannot be understood."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel of a store; without a track the charm's default one is meant."""

    track: str
    risk: str
    branch: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.track, self.risk, self.branch) if part)


def parse(text: str) -> Channel:
    """Read `[track/]risk[/branch]` or `track`; the risk of a bare track is stable.

    Raises:
        ChannelError: it is no channel.
    """
    parts = text.split("/")
    if not all(_PART.fullmatch(part) for part in parts) or len(parts) > 3:
        raise ChannelError(f'channel "{text}" not valid; expected [track/]risk[/branch]')
    if len(parts) == 1:
        return Channel("", parts[0]) if parts[0] in RISKS else Channel(parts[0], "stable")
    if len(parts) == 2 and parts[0] in RISKS:
        return Channel("", parts[0], parts[1])
    if parts[1] not in RISKS:
        raise ChannelError(f'risk in channel "{text}" not valid; one of {", ".join(RISKS)}')
    return Channel(*parts)


def parse_base(text: str) -> str:
    """Read `ubuntu@24.04[/risk]`; the base without its risk.

    Raises:
        ChannelError: it is no base.
    """
    name, separator, channel = text.partition("@")
    if not separator or "@" in channel or name.lower() not in SYSTEMS:
        raise ChannelError(f'base "{text}" not valid; expected one such as ubuntu@24.04')
    track = parse(channel).track
    if not track:
        raise ChannelError(f'base "{text}" not valid: it names no version')
    return f"{name.lower()}@{track}"
