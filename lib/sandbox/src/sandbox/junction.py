"""The process that carries TCP between the machine's network and that of isolated members.

Run as `python -I -m sandbox.junction FOLDER`, it starts the switch (`sandbox.switch`), in whose
namespaces the members live, and ends with it. It has no right over anything itself: the switch
hands it sockets of those namespaces, which stay theirs wherever they are used. What is wanted of
it says `FOLDER/wanted.json`:

    {"generation": 7, "bubblewrap": PATH, "gateway": "127.20.127.255", "first": 16, "last": 239,
     "members": [{"name": "ab12/db-0", "address": "127.20.0.1", "processes": [[PID, START], ...]}],
     "routes": [{"listen": "127.20.128.1", "port": 80, "targets": [["127.20.0.1", 80]]}],
     "gates": [["127.0.0.1", 6443]], "egress": PATH of pasta or ""}

A member's `processes` tell, where it runs already, which namespace is its own. What is carried:

- what a member listens on, at its address on the machine (seen within `LOOK` seconds);
- inside, `routes`, balanced;
- inside, what this user listens on at addresses of 127.`first` to 127.`last`, members' apart;
- to each member, at the very address, the `gates` of the machine, and nothing else of it.

To other machines members have the way that `sandbox.egress` makes, if any.

`FOLDER/applied.json` answers with the generation that is in force, the identity of the switch,
the descriptors in it that are the members' namespaces, why a member could not be joined, and
where members ask for names, or "".
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # asyncio loads OpenSSL (5 MB) if it is there; nothing here speaks TLS.
    sys.modules["ssl"] = None  # type: ignore[assignment]

import asyncio
import contextlib
import fcntl
import json
import os
import resource
import signal
import socket
import subprocess
from dataclasses import dataclass
from typing import Any

from sandbox import balancer, egress
from sandbox.listening import ask, listeners
from sandbox.network import OWN

LOOK = 0.5
"""Seconds between two looks at who listens: the kernel tells nobody of it."""
_MACHINE, _INSIDE = "machine", ""
_NS_GET_USERNS = 0xB701
_SOL_IP, _IP_FREEBIND = 0, 15
_MESSAGE = 1 << 16
_MOST_DESCRIPTORS = 64
_TRIED = ("127.16.127.255", "127.16.0.1", "127.16.0.2")

Place = str
"""Where a socket is: `machine`, empty for the switch's own namespace, or a member's name."""
End = tuple[Place, str, int]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - its log


class SwitchError(OSError):
    """The switch has refused something."""


class SwitchLine:
    """The switch, and what is asked of it. Asking blocks; answers come in some milliseconds.

    Args:
        bubblewrap: The program that makes the namespaces.
        owner: The user namespace in which members run already.
    """

    def __init__(self, bubblewrap: str, owner: int | None) -> None:
        self.socket, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-I", "-m", "sandbox.switch", str(inner.fileno())]
        passed = [inner.fileno()]
        if owner is not None:
            command.append(str(owner))
            passed.append(owner)
        else:
            # By bubblewrap, since on some machines it alone may make user namespaces.
            command = [
                *(bubblewrap, "--unshare-user", "--unshare-net", "--cap-add", "ALL"),
                *("--uid", str(os.getuid()), "--gid", str(os.getgid()), "--die-with-parent"),
                *("--dev-bind", "/", "/", "--", *command),
            ]
        try:
            self.process = subprocess.Popen(command, pass_fds=passed, stdin=subprocess.DEVNULL)
        finally:
            inner.close()

    def ask(
        self, request: dict[str, Any], descriptors: tuple[int, ...] = ()
    ) -> tuple[dict[str, Any], list[int]]:
        """Its answer, with descriptors.

        Raises:
            SwitchError: it refuses.
            ConnectionError: it has ended.
        """
        socket.send_fds(self.socket, [json.dumps(request).encode()], descriptors)
        message, received, _, _ = socket.recv_fds(
            self.socket, _MESSAGE, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
        )
        if not message:
            raise ConnectionError("the switch has ended")
        answer = json.loads(message)
        if "error" in answer:
            raise SwitchError(answer["errno"], answer["error"])
        return answer, received


@dataclass(slots=True)
class Member:
    """An isolated member: its address, its namespace in the switch, and who tells what listens."""

    name: str
    address: str
    namespace: int
    netlink: socket.socket

    def listens(self) -> set[int]:
        """The ports on which it can be reached from outside of itself."""
        mine = ("0.0.0.0", self.address)  # noqa: S104 - compared
        return {one.port for one in listeners(self.netlink) if one.address in mine}


class Passage(balancer.Route):
    """One place, address and port that is listened on, and where its connections go."""

    def __init__(self, junction: Junction, end: End, targets: list[Any]) -> None:
        super().__init__(end[1:], targets)
        self.junction = junction
        self.place = end[0]

    def listener(self) -> socket.socket:
        """The socket to listen with, of its place."""
        made = self.junction.make_socket(self.place)
        if self.place == _INSIDE:
            # All of these addresses lead here, though no link has them.
            made.setsockopt(_SOL_IP, _IP_FREEBIND, 1)
        return made

    async def connect(self, target: Any) -> balancer.Half:
        """The other side of a connection, from the target's place."""
        place, *address = target
        loop = asyncio.get_running_loop()
        made = self.junction.make_socket(place)
        try:
            made.setblocking(False)
            await loop.sock_connect(made, tuple(address))
            _, back = await loop.create_connection(balancer.Half, sock=made)
        except BaseException:
            made.close()
            raise
        return back


class Junction:
    """All passages, and the files they are read from and answered in."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.document: dict[str, Any] = {}
        self.switch: SwitchLine | None = None
        self.members: dict[str, Member] = {}
        self.passages: dict[End, Passage] = {}
        self.refused: dict[End, str] = {}
        self.failed: dict[str, str] = {}
        self._identity: dict[str, Any] = {}
        self._stock: list[int] = []
        self._netlink = ask()
        self._egress = egress.Egress(folder, _say)

    def start(self) -> SwitchLine:
        """Start the switch. Raises OSError."""
        self.document = self._read()
        # Those of one that was killed would be in the way.
        egress.end(self.folder)
        owner = self._owner()
        try:
            switch = SwitchLine(self.document["bubblewrap"], owner)
        finally:
            if owner is not None:
                os.close(owner)
        self.switch = switch
        answer, _ = switch.ask({"do": "set-up", "gateway": self.document["gateway"]})
        self._identity = balancer.identity(answer["pid"])
        return switch

    async def load(self) -> None:
        """Bring members and passages up to the file."""
        self.document = self._read()
        wanted = {member["name"]: member for member in self.document["members"]}
        for name in self.members.keys() - wanted.keys():
            self._remove(name)
        self.failed = {}
        for name, member in wanted.items():
            if name not in self.members:
                try:
                    self._add(member)
                except SwitchError as error:
                    self.failed[name] = str(error)
        await self.look()
        answer = {
            "generation": self.document["generation"],
            "switch": self._identity,
            "namespaces": self._namespaces(),
            "failed": self.failed,
            "resolver": egress.RESOLVER if self.document["egress"] else "",
        }
        balancer.write(self.folder, "applied.json", answer)

    async def look(self) -> None:
        """See who listens where, and listen for them on the other side."""
        wanted = self._wanted()
        for end in self.passages.keys() - wanted.keys():
            self.passages.pop(end).close()
        refused: dict[End, str] = {}
        for end, targets in wanted.items():
            if end in self.passages:
                self.passages[end].targets = targets
                continue
            passage = Passage(self, end, targets)
            try:
                await passage.open()
            except OSError as error:
                refused[end] = os.strerror(error.errno or 0)
                if self.refused.get(end) != refused[end]:
                    _say(f"{end[0] or 'inside'}: {end[1]}:{end[2]}: {refused[end]}")
            else:
                self.passages[end] = passage
        self.refused = refused
        self._egress.bring(self.document["egress"], self._identity["pid"], self._namespaces())

    def close(self) -> None:
        """Carry nothing any more."""
        self._egress.close()
        for passage in self.passages.values():
            passage.close()

    def make_socket(self, place: Place) -> socket.socket:
        """A TCP socket of a place. Raises OSError."""
        if place == _MACHINE:
            return socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if place == _INSIDE and self._stock:
            return socket.socket(fileno=self._stock.pop())
        _, made = self._ask({"do": "sockets", "name": place})
        if place == _INSIDE:
            self._stock = made[1:]
        return socket.socket(fileno=made[0])

    def _namespaces(self) -> dict[str, int]:
        return {name: member.namespace for name, member in self.members.items()}

    def _wanted(self) -> dict[End, list[Any]]:
        by_address = {member.address: member for member in self.members.values()}

        def place(address: str) -> Place:
            return _INSIDE if address in by_address else _MACHINE

        wanted: dict[End, list[Any]] = {}
        for found in listeners(self._netlink):
            _, second, *_ = found.address.split(".")
            ours = found.address.startswith("127.") and found.user == os.getuid()
            within = self.document["first"] <= int(second) <= self.document["last"]
            if ours and within and found.address not in by_address:
                end = (_INSIDE, found.address, found.port)
                wanted[end] = [(_MACHINE, found.address, found.port)]
        for route in self.document["routes"]:
            targets = [(place(host), host, int(port)) for host, port in route["targets"]]
            wanted[_INSIDE, route["listen"], int(route["port"])] = targets
        for member in self.members.values():
            for port in member.listens():
                end = (_MACHINE, member.address, port)
                wanted[end] = [(_INSIDE, member.address, port)]
            for host, port in self.document["gates"]:
                wanted[member.name, host, int(port)] = [(_MACHINE, host, int(port))]
        return wanted

    def _add(self, member: dict[str, Any]) -> None:
        """Join a member. Raises SwitchError, ConnectionError."""
        name, address = member["name"], member["address"]
        aliases = sorted({host for host, _ in self.document["gates"] if not _own(host)})
        request = {"do": "add", "name": name, "address": address, "aliases": aliases}
        adopted = _namespace(member["processes"])
        try:
            answer, made = self._ask(request, () if adopted is None else (adopted,))
        finally:
            if adopted is not None:
                os.close(adopted)
        self.members[name] = Member(
            name, address, answer["namespace"], socket.socket(fileno=made[0])
        )

    def _remove(self, name: str) -> None:
        self.members.pop(name).netlink.close()
        for end in [end for end in self.passages if end[0] == name]:
            self.passages.pop(end).close()
        self._ask({"do": "remove", "name": name})

    def _owner(self) -> int | None:
        """The user namespace in which members of an earlier switch still run."""
        for member in self.document["members"]:
            namespace = _namespace(member["processes"])
            if namespace is not None:
                try:
                    return fcntl.ioctl(namespace, _NS_GET_USERNS)
                finally:
                    os.close(namespace)
        return None

    def _ask(
        self, request: dict[str, Any], descriptors: tuple[int, ...] = ()
    ) -> tuple[dict[str, Any], list[int]]:
        if self.switch is None:
            raise ConnectionError("no switch was started")
        return self.switch.ask(request, descriptors)

    def _read(self) -> dict[str, Any]:
        with open(os.path.join(self.folder, "wanted.json"), encoding="utf-8") as file:
            document: dict[str, Any] = json.load(file)
        return document


def _own(address: str) -> bool:
    """Whether a member has that address for itself anyway."""
    first, second, *_ = address.split(".")
    return f"{first}.{second}.0.0" == str(OWN[0])


def _namespace(processes: list[list[int]]) -> int | None:
    """The network namespace of the first of these processes that still runs in one of its own."""
    machine = os.stat("/proc/self/ns/net").st_ino
    for pid, started in processes:
        try:
            namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, ProcessLookupError):
            continue
        # Looked at with the namespace in hand: from here on it is that process's or another's.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            same = balancer.identity(pid)["started"] == started
            if same and os.fstat(namespace).st_ino != machine:
                return namespace
        os.close(namespace)
    return None


async def serve(folder: str) -> int:
    """Serve until SIGTERM, or until the switch ends; the exit code."""
    loop = asyncio.get_running_loop()
    changed, ended = asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, changed.set)
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    junction = Junction(folder)
    try:
        balancer.identify(folder)
    except BlockingIOError:
        _say("another junction serves this folder")
        return 3
    switch = junction.start()
    # Every answer is read by who asks: what else can be read is the end.
    loop.add_reader(switch.socket, ended.set)
    try:
        await junction.load()
        await _serve(junction, changed, ended)
    finally:
        loop.remove_reader(switch.socket)
        switch.socket.close()
        code = await asyncio.to_thread(switch.process.wait)
        junction.close()
    return 1 if code else 0


async def _serve(junction: Junction, changed: asyncio.Event, ended: asyncio.Event) -> None:
    ending = asyncio.ensure_future(ended.wait())
    while not ended.is_set():
        waiting = asyncio.ensure_future(changed.wait())
        await asyncio.wait(
            {waiting, ending},
            timeout=LOOK if junction.members else None,
            return_when=asyncio.FIRST_COMPLETED,
        )
        waiting.cancel()
        if ended.is_set():
            break
        if not changed.is_set():
            await junction.look()
            continue
        changed.clear()
        try:
            await junction.load()
        except (ValueError, KeyError, TypeError) as error:
            _say(f"wanted.json: {error!r}; kept the old")


def attempt(bubblewrap: str) -> None:
    """Make two members, and have one hear the other on a port below 1024. Raises OSError."""
    switch = SwitchLine(bubblewrap, None)
    try:
        switch.ask({"do": "set-up", "gateway": _TRIED[0]})
        made = []
        for address in _TRIED[1:]:
            request = {"do": "add", "name": address, "address": address, "aliases": []}
            with socket.socket(fileno=switch.ask(request)[1][0]) as netlink:
                listeners(netlink)
            made.append(socket.socket(fileno=switch.ask({"do": "sockets", "name": address})[1][0]))
        with made[0] as server, made[1] as client:
            server.bind(("0.0.0.0", 80))  # noqa: S104 - in a network that nobody else has
            server.listen()
            client.settimeout(balancer.CONNECT_TIMEOUT)
            client.connect((_TRIED[1], 80))
    finally:
        switch.socket.close()
        switch.process.wait()


def main() -> int:
    """Be the junction, or try what it needs; the exit code."""
    if sys.argv[1] == "--try":
        try:
            attempt(sys.argv[2])
        except OSError as error:
            _say(str(error))
            return 1
        return 0
    # Each connection takes two descriptors.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return asyncio.run(serve(sys.argv[1]))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
