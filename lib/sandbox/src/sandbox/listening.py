"""Who listens in a network, asked of the kernel by a netlink socket of that network.

The format is sock_diag(7)'s. The tables of /proc say the same, but the kernel walks all of the
machine's connections to write them: milliseconds, for each network, where this takes a few dozen
microseconds.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass

_NETLINK_SOCK_DIAG = 4
_BY_FAMILY, _DUMP = 20, 0x301
_ERROR, _DONE = 2, 3
_LISTEN = 1 << 10
_HEADER, _REQUEST, _MESSAGE = struct.Struct("=IHHII"), struct.Struct("=BBBBI48x"), 72
_ROOM = 1 << 16


@dataclass(frozen=True, slots=True)
class Listener:
    """A TCP socket that listens: on which IPv4 address and port, and whose it is, by number.

    One that listens on all of IPv6 takes IPv4 too, and is told as one on 0.0.0.0.
    """

    address: str
    port: int
    user: int


def ask() -> socket.socket:
    """A socket by which `listeners` asks of the network that this process is in."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)


def listeners(netlink: socket.socket) -> set[Listener]:
    """The TCP listeners of the network of a socket that `ask` has made.

    Raises:
        OSError: the kernel does not tell.
    """
    found: set[Listener] = set()
    for family in (socket.AF_INET, socket.AF_INET6):
        header = _HEADER.pack(_HEADER.size + _REQUEST.size, _BY_FAMILY, _DUMP, 0, 0)
        netlink.send(header + _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _LISTEN))
        while _read(netlink.recv(_ROOM), found):
            pass
    return found


def _read(messages: bytes, found: set[Listener]) -> bool:
    """Add what the messages tell; whether more will come."""
    at = 0
    while at < len(messages):
        length, kind, *_ = _HEADER.unpack_from(messages, at)
        body = messages[at + _HEADER.size : at + length]
        if kind == _DONE:
            return False
        if kind == _ERROR:
            (number,) = struct.unpack_from("=i", body)
            raise OSError(-number, "the kernel does not tell who listens")
        if address := _address(body[0], body[8:24]):
            (port,) = struct.unpack_from(">H", body, 4)
            (user,) = struct.unpack_from("=I", body, _MESSAGE - 8)
            found.add(Listener(address, port, user))
        at += (length + 3) & ~3
    return True


def _address(family: int, text: bytes) -> str:
    """An address as text; empty if it is IPv6's alone."""
    if family == socket.AF_INET:
        return str(ipaddress.IPv4Address(text[:4]))
    address = ipaddress.IPv6Address(text)
    if address == ipaddress.IPv6Address("::"):
        return "0.0.0.0"  # noqa: S104 - told, not listened on
    return str(address.ipv4_mapped or "")
