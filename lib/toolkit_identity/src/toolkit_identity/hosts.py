"""Which names a server answers to, and which pages may call it.

A browser that was tricked by DNS into connecting here (DNS rebinding) still sends the attacker's
name as `Host`; a page elsewhere that posts here still sends its own `Origin`. Both are refused.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class HostPatternError(ValueError):
    """A pattern that cannot be matched against hosts; the message quotes it and says why."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A host (lower case; IPv6 without brackets, normalised) and its port, if one was given."""

    host: str
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Authority | None:
        """Read `host`, `host:port`, `[v6]` or `[v6]:port`; None if it is none of these."""
        if text.startswith("["):
            literal, bracket, rest = text[1:].partition("]")
            if not bracket or (rest and not rest.startswith(":")):
                return None
            try:
                host = str(ipaddress.IPv6Address(literal))
            except ValueError:
                return None
            port_text = rest[1:] if rest else None
        else:
            name, colon, after = text.partition(":")
            host = name.lower().removesuffix(".")
            port_text = after if colon else None
            if len(host) > 253 or not _NAME.fullmatch(host):
                return None
        if port_text is None:
            return cls(host)
        if not (port_text.isascii() and port_text.isdecimal() and len(port_text) <= 5):
            return None
        port = int(port_text)
        return cls(host, port) if 0 < port < 65536 else None


@dataclass(frozen=True, slots=True)
class _Pattern:
    host: str  # exact name, or ".example.com" for any name below it, or "" for any
    port: int | None

    def matches(self, authority: Authority) -> bool:
        if self.port is not None and self.port != authority.port:
            return False
        if not self.host:
            return True
        if self.host.startswith("."):
            return authority.host.endswith(self.host) and len(authority.host) > len(self.host)
        return authority.host == self.host


def _pattern(text: str) -> _Pattern:
    wanted = text.strip()
    if wanted == "*":
        return _Pattern("", None)
    if wanted.endswith(":*"):
        wanted = wanted[:-2]
    below = wanted.startswith("*.")
    authority = Authority.parse(wanted[2:] if below else wanted)
    if authority is None:
        raise HostPatternError(
            f"{text!r} is not a host: write a name or an address with or without a port "
            "(ml.example.com, 10.0.0.7:5000, [::1]:5000), *.example.com or *"
        )
    return _Pattern(f".{authority.host}" if below else authority.host, authority.port)


class HostPatterns:
    """The hosts that a server answers to.

    Args:
        patterns: names and addresses; without a port any port matches. `*.example.com` matches
            every name below example.com but not itself; `*` matches all (no protection then).

    Raises:
        HostPatternError: a pattern is not one of these.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(_pattern(text) for text in patterns)

    def allow(self, host: str) -> bool:
        """Tell whether a `Host` header's value is allowed; a malformed one never is."""
        authority = Authority.parse(host)
        return authority is not None and any(p.matches(authority) for p in self._patterns)


def parse_origin(text: str) -> tuple[str, Authority] | None:
    """Split an `Origin` header's value into its scheme and authority; None if malformed."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or parts.path or parts.query or parts.fragment:
        return None
    if "@" in parts.netloc:
        return None
    authority = Authority.parse(parts.netloc)
    return None if authority is None else (parts.scheme, authority)


def same_origin(origin: str, host: str) -> bool:
    """Tell whether a page of this origin was served by the host that it calls.

    The port of either defaults by the origin's scheme, so that a proxy in front that ends TLS
    and passes `Host` on changes nothing.
    """
    split = parse_origin(origin)
    target = Authority.parse(host)
    if split is None or target is None:
        return False
    scheme, page = split
    default = _DEFAULT_PORTS[scheme]
    return page.host == target.host and (page.port or default) == (target.port or default)
