"""The process that owns the network namespaces of isolated members, and joins them by a bridge.

Run by `sandbox.junction` as `python -I -m sandbox.switch SOCKET [USER]`: in a user and a network
namespace of its own that bubblewrap has made, or, with the descriptor of a user namespace, it
enters that one and makes the network namespace itself. That way a new switch takes up the members
of one that was killed: their processes live on, in namespaces that the same user namespace owns.

It has every right over these namespaces and none over the machine. What it is asked comes over
`SOCKET` (see `serve`); when nobody is left to ask, it ends, and the bridge goes with it.

The members keep their addresses of 127/8, which lead over the bridge in there: of 127/8 a member
itself is 127.0/16 alone. What is nobody's belongs to the switch, whose owner may listen there.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from sandbox import listening
from sandbox.network import LINK, OWN

BRIDGE = "members"
LOOPBACK = "127.0.0.0/8"
SOCKETS = 16
"""How many sockets are made at once, so that not every connection has to ask."""
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_PR_SET_DUMPABLE = 4
_MESSAGE = 1 << 16
_EXISTS = 17
_PATIENCE = 10.0
_HOST_SCOPE = 254

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _enter(namespace: int) -> None:
    _check(_libc.setns(namespace, _NEW_NETWORK), "enter a network namespace")


def _here() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _set(name: str, value: int) -> None:
    with open(f"/proc/sys/net/ipv4/{name}", "w") as file:
        file.write(str(value))


class Switch:
    """The bridge and its members.

    Attributes:
        members: The namespace's descriptor of each member, by its name.
    """

    def __init__(self) -> None:
        self.members: dict[str, int] = {}
        self._addresses: dict[str, str] = {}
        self._home = _here()
        self._gateway = ""

    def set_up(self, gateway: str) -> None:
        """Make the bridge; `gateway` is its own address. Raises OSError."""
        self._gateway = gateway
        _set("conf/all/route_localnet", 1)
        _set("ip_unprivileged_port_start", 0)
        with _netlink() as links:
            loopback = links.link_lookup(ifname="lo")[0]
            links.link("set", index=loopback, state="up")
            # The kernel has given it all of 127/8, as routes that come before all others.
            links.flush_addr(index=loopback)
            links.addr("add", index=loopback, address="127.0.0.1", prefixlen=32)
            links.link("add", ifname=BRIDGE, kind="bridge")
            bridge = links.link_lookup(ifname=BRIDGE)[0]
            links.addr("add", index=bridge, address=gateway, prefixlen=32, scope=0)
            links.link("set", index=bridge, state="up")
            links.route("add", dst=LOOPBACK, type="local", oif=loopback, scope=_HOST_SCOPE)

    def add(self, name: str, address: str, aliases: list[str], adopted: int | None) -> int:
        """Join a member by its address; a socket that tells who listens there.

        Args:
            name: The member's name.
            address: Its address of 127/8.
            aliases: Further addresses that it has for itself alone.
            adopted: Its network namespace if it runs already.

        Raises:
            OSError: what could not be done; nothing of it is left but in an adopted namespace.
        """
        namespace = self._new() if adopted is None else adopted
        try:
            self._join(namespace, address)
            with self._inside(namespace):
                _set("conf/all/route_localnet", 1)
                _set("ip_unprivileged_port_start", 0)
                with _netlink() as links:
                    if adopted is None:
                        _own_loopback(links)
                    _settle(links, address, aliases)
                netlink = listening.ask().detach()
        except BaseException:
            os.close(namespace)
            raise
        self.members[name], self._addresses[name] = namespace, address
        return netlink

    def remove(self, name: str) -> None:
        """Let go of a member; its namespace ends with its last process."""
        os.close(self.members.pop(name))
        with _netlink() as links:
            for index in links.link_lookup(ifname=_end(self._addresses.pop(name))):
                links.link("del", index=index)

    def sockets(self, name: str) -> list[int]:
        """TCP sockets of a member's namespace, or without a name of the switch's own."""
        if not name:
            return [_socket() for _ in range(SOCKETS)]
        with self._inside(self.members[name]):
            return [_socket()]

    def _new(self) -> int:
        _check(_libc.unshare(_NEW_NETWORK), "make a network namespace")
        made = _here()
        _enter(self._home)
        return made

    @contextlib.contextmanager
    def _inside(self, namespace: int) -> Iterator[None]:
        _enter(namespace)
        try:
            yield
        finally:
            _enter(self._home)

    def _join(self, namespace: int, address: str) -> None:
        end = _end(address)
        with _netlink() as links:
            bridge = links.link_lookup(ifname=BRIDGE)[0]
            deadline = time.monotonic() + _PATIENCE
            while True:
                try:
                    peer = {"ifname": LINK, "net_ns_fd": namespace}
                    links.link("add", ifname=end, kind="veth", peer=peer)
                    break
                except NetlinkError as error:
                    # The kernel is on its way to take down what the last switch has made.
                    if error.code != _EXISTS or time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
            index = links.link_lookup(ifname=end)[0]
            links.link("set", index=index, master=bridge, state="up")
            links.route("replace", dst=f"{address}/32", oif=bridge, prefsrc=self._gateway)


def _end(address: str) -> str:
    """The name of a member's end at the bridge; at most 15 characters."""
    return "m" + ".".join(address.split(".")[1:])


def _socket() -> int:
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC).detach()


def _own_loopback(links: Any) -> None:
    loopback = links.link_lookup(ifname="lo")[0]
    links.link("set", index=loopback, state="up")
    for found in links.get_addr(index=loopback, family=socket.AF_INET):
        links.addr("del", index=loopback, address=found.get("address"), mask=found["prefixlen"])
    links.addr(
        "add", index=loopback, address=str(OWN[1]), prefixlen=OWN.prefixlen, scope=_HOST_SCOPE
    )


def _settle(links: Any, address: str, aliases: list[str]) -> None:
    """Give a member its addresses, and its way to the others."""
    loopback = links.link_lookup(ifname="lo")[0]
    for alias in aliases:
        links.addr("replace", index=loopback, address=alias, prefixlen=32, scope=_HOST_SCOPE)
    inside = links.link_lookup(ifname=LINK)[0]
    links.addr("add", index=inside, address=address, prefixlen=32, scope=0)
    links.link("set", index=inside, state="up")
    links.route("add", dst=LOOPBACK, oif=inside, prefsrc=address, scope=253)


@contextlib.contextmanager
def _netlink() -> Iterator[Any]:
    """A way to the links of the namespace that this process is in. What fails is an OSError."""
    try:
        with IPRoute() as links:
            yield links
    except NetlinkError as error:
        raise OSError(error.code, f"the kernel refuses a link: {error}") from error


def serve(connection: socket.socket, switch: Switch) -> None:
    """Answer requests until nobody is left to ask.

    A request is a JSON object, with descriptors where it says so; the answer is another one, with
    descriptors or with an `error`.

        {"do": "set-up", "gateway": ADDRESS}        {"pid": the switch's own}
        {"do": "add", "name": NAME, "address": ADDRESS, "aliases": [...]}, perhaps a namespace
                                                    {"namespace": N}, a socket for `listening`
        {"do": "remove", "name": NAME}              {}
        {"do": "sockets", "name": NAME or ""}       {}, the sockets
    """
    while True:
        message, descriptors, _, _ = socket.recv_fds(
            connection, _MESSAGE, 1, socket.MSG_CMSG_CLOEXEC
        )
        if not message:
            return
        answer: dict[str, Any] = {}
        made: list[int] = []
        try:
            request = json.loads(message)
            answer, made = _do(switch, request, descriptors)
        except OSError as error:
            answer = {"error": str(error), "errno": error.errno or 0}
        socket.send_fds(connection, [json.dumps(answer).encode()], made)
        for descriptor in made:
            os.close(descriptor)


def _do(
    switch: Switch, request: dict[str, Any], descriptors: list[int]
) -> tuple[dict[str, Any], list[int]]:
    name: str = request.get("name", "")
    match request["do"]:
        case "set-up":
            switch.set_up(request["gateway"])
            return {"pid": os.getpid()}, []
        case "add":
            adopted = descriptors[0] if descriptors else None
            netlink = switch.add(name, request["address"], request["aliases"], adopted)
            return {"namespace": switch.members[name]}, [netlink]
        case "remove":
            switch.remove(name)
            return {}, []
        case "sockets":
            return {}, switch.sockets(name)
        case other:
            raise OSError(f"unknown request {other!r}")


def main() -> None:
    """Be the switch."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    if len(sys.argv) > 2:
        owner = int(sys.argv[2])
        _check(_libc.setns(owner, _NEW_USER), "enter the members' user namespace")
        os.close(owner)
        _check(_libc.unshare(_NEW_NETWORK), "make a network namespace")
        # Whoever made it may look for its namespaces, as one does who starts a member.
        _check(_libc.prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(1), 0, 0, 0), "prctl")
    serve(connection, Switch())


if __name__ == "__main__":
    main()
