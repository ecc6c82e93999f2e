"""The way of isolated members to other machines: one pasta (https://passt.top) for each.

pasta carries what a member sends as sockets of this user on the machine's network, without any
right over it. It gives the member a link of its own with the machine's addresses, by which all
but 127/8 leads, and takes nothing in from outside. The machine's loopback is out of reach.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping

from sandbox.process import Identity

PROGRAM = "pasta"
LINK = "egress"
"""The name of a member's link to other machines."""
RESOLVER = "169.254.1.53"
"""Where members ask for names: pasta passes it on to the machine's own name server."""
AGAIN = 10.0
"""Seconds until a pasta that has ended is started again."""
_PATIENCE = 5.0
_LOG = "egress-"


def find() -> str:
    """The program; empty if this machine has none."""
    return shutil.which(PROGRAM) or ""


class Egress:
    """The pastas of one keeper's members.

    Args:
        folder: the keeper's.
        say: gets a line when a member has no way to other machines, once for each reason.
    """

    def __init__(self, folder: str, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._again: dict[str, float] = {}
        self._said: dict[str, str] = {}

    def bring(self, program: str, switch: int, namespaces: Mapping[str, int]) -> None:
        """See that these members, and no others, have a way; none has if there is no program.

        Args:
            program: pasta's path, or "".
            switch: the pid of the process that owns the members' namespaces.
            namespaces: by member, the namespace's descriptor in that process.
        """
        wanted = namespaces if program else {}
        for name in self._running.keys() - wanted.keys():
            _kill(self._running.pop(name))
        for name in (self._again.keys() | self._said.keys()) - wanted.keys():
            self._again.pop(name, None)
            self._said.pop(name, None)
        now = time.monotonic()
        for name, namespace in wanted.items():
            running = self._running.get(name)
            if running is not None and running.poll() is not None:
                del self._running[name]
                self._again[name] = now + AGAIN
                self._tell(name, self._evidence(name, running.returncode))
            if name not in self._running and now >= self._again.get(name, now):
                try:
                    self._running[name] = self._start(program, name, switch, namespace)
                except OSError as error:
                    self._again[name] = now + AGAIN
                    self._tell(name, str(error))

    def close(self) -> None:
        """End them all."""
        self.bring("", 0, {})

    def _start(
        self, program: str, name: str, switch: int, namespace: int
    ) -> subprocess.Popen[bytes]:
        path = self._log(name)
        words = [program, "--foreground", "--quiet", "--log-file", path]
        # Nothing is carried in, and nothing between this loopback and the machine's.
        words += ["--tcp-ports", "none", "--udp-ports", "none"]
        words += ["--tcp-ns", "none", "--udp-ns", "none", "--no-map-gw"]
        words += ["--config-net", "--ns-ifname", LINK, "--dns-forward", RESOLVER]
        if os.getuid() == 0:
            # Otherwise it becomes nobody, who may not enter the namespaces.
            words += ["--runas", f"0:{os.getgid()}"]
        words += [
            "--userns",
            f"/proc/{switch}/ns/user",
            "--netns",
            f"/proc/{switch}/fd/{namespace}",
        ]
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        log = os.open(path, flags, 0o600)
        try:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        finally:
            os.close(log)

    def _log(self, name: str) -> str:
        return os.path.join(self._folder, f"{_LOG}{name.replace('/', '-')}.log")

    def _evidence(self, name: str, code: int) -> str:
        with contextlib.suppress(OSError), open(self._log(name), errors="replace") as file:
            # It complains of a system log that it cannot reach in between.
            lines = [line.strip() for line in file.read(1 << 16).splitlines()]
            told = [line for line in lines if line and "syslog" not in line]
            if told:
                return told[-1]
        return f"{PROGRAM} ended with {code}"

    def _tell(self, name: str, why: str) -> None:
        if self._said.get(name) != why:
            self._said[name] = why
            self._say(f"{name} has no way to other machines: {why}")


def end(folder: str) -> None:
    """End every pasta of a keeper in `folder`, whoever started it: by their command lines."""
    mark = os.fsencode(os.path.join(folder, _LOG))
    for entry in filter(str.isdigit, os.listdir("/proc")):
        # What is gone meanwhile, or another user's and hidden, is none.
        with contextlib.suppress(OSError):
            found = Identity.of(int(entry))
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            # By its options, since it may have made itself another program of its package.
            if found and b"--netns" in words and any(word.startswith(mark) for word in words):
                found.end()


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(_PATIENCE)
