"""Start Python commands as forks of an interpreter that has imported its modules already.

One warm interpreter for each image, a child of the owner's process: it ends with its owner, while
the containers that it has forked live on. It is made on demand: the first commands of an image
start cold until it is ready. See `sandbox.zygote` for the other side.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import json
import logging
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox import bubblewrap, enclosure, gate, record, root, zygote
from sandbox.errors import SandboxError
from sandbox.record import Process
from sandbox.spec import Image, Mount, Spec

logger = logging.getLogger(__name__)

# Seconds: an interpreter that nobody asks ends; a container in advance goes unused; an interpreter
# that could not start is not tried again before; an answer that takes longer will not come.
_IDLE, _KEPT, _AGAIN, _PATIENCE = 900.0, 10.0, 60.0, 60.0
# Variables that Python or the C library read once, at their own start.
_EARLY_PREFIXES = ("PYTHON", "LC_", "LD_", "MALLOC_", "OMP_", "MKL_", "OPENBLAS_", "BLIS_")
_EARLY = {"LANG", "GLIBC_TUNABLES", "CUDA_VISIBLE_DEVICES", "NUMEXPR_NUM_THREADS"}
_FREE = {"PYTHONPATH", "PYTHONUNBUFFERED"}


class _WarmError(Exception):
    """A warm start is not possible; the command has not begun."""


def eligible(spec: Spec, environment: Mapping[str, str]) -> bool:
    """True for a command that a warm interpreter of its image runs as a new one would."""
    image = spec.image
    if not spec.warm or image is None or not image.preload or spec.network:
        return False
    name, words = spec.command[0], list(spec.command[1:])
    folder = f"{image.prefix.rstrip('/')}/bin"
    pythons = {"python", "python3"}
    by_path = environment.get("PATH", "").split(":")[0] == folder and name in pythons
    if not by_path and name not in {f"{folder}/{python}" for python in pythons}:
        return False
    while words and words[0] == "-u":
        words = words[1:]
    if not words or (
        words[0].startswith("-") and (words[0] not in ("-m", "-c") or len(words) < 2)
    ):
        return False
    return _early(environment) == _early(image.env) and "PYTHONPATH" not in image.env


def _early(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if (name in _EARLY or name.startswith(_EARLY_PREFIXES)) and name not in _FREE
    }


def prestart(image: Image) -> None:
    """Begin to make the warm interpreter of an image, so that it is ready when needed."""
    if image.preload:
        _pool.find(image)


def ready(image: Image) -> bool:
    """True once commands of the image start warm; begins to make its interpreter if need be."""
    interpreter = _pool.find(image) if image.preload else None
    return interpreter is not None and interpreter.ready()


def ask(
    spec: Spec,
    environment: dict[str, str],
    steps: Sequence[root.Step],
    directory: Path,
    status: int,
    output: int,
) -> Asked | None:
    """Ask for a container to be started warm; None if it has to be started cold.

    Does not block.
    """
    if not eligible(spec, environment) or spec.image is None:
        return None
    interpreter = _pool.find(spec.image)
    if interpreter is None or not interpreter.ready():
        return None
    made = [{**_step(step), "common": _common(step, spec, directory)} for step in steps]
    request = {
        "command": list(spec.command),
        "environment": environment,
        "cwd": spec.cwd,
        "hostname": spec.hostname,
        "processes": gate.bound(spec.limits.processes),
        "steps": made,
    }
    common = json.dumps([step for step in made if step["common"]])
    try:
        answer = interpreter.fork(f"{spec.user} {spec.group} {common}", request, status, output)
    except _WarmError as error:
        _go_cold(spec, status, error)
        return None
    return Asked(spec, directory, status, answer)


def _go_cold(spec: Spec, status: int, error: _WarmError) -> None:
    logger.warning("%s starts cold: %s", list(spec.command)[:3], error)
    os.truncate(status, 0)


class Asked:
    """A warm start that was asked for; `finish` is to be called."""

    def __init__(self, spec: Spec, directory: Path, status: int, answer: int) -> None:
        self._spec, self._directory, self._status = spec, directory, status
        self._answer = answer

    def finish(self) -> Process | None:
        """Wait until the command runs; None if it is to be started cold. Nothing has run then.

        Raises SandboxError if there is no answer.
        """
        try:
            _await(self._answer)
        except _WarmError as error:
            _go_cold(self._spec, self._status, error)
            return None
        finally:
            os.close(self._answer)
        found = record.read_status(self._directory)
        process = record.identify(found.pid, time.time()) if found.pid is not None else None
        # It may have run and gone already.
        return process or Process(found.pid or 0, 0, record.boot_id(), time.time())


def _await(answer: int) -> None:
    limit, said = time.monotonic() + _PATIENCE, b""
    while said != b"ok":
        left = limit - time.monotonic()
        if left <= 0 or not select.select([answer], [], [], left)[0]:
            # It may still come to life: a second start beside it would be worse than none.
            raise SandboxError(f"no answer from the warm interpreter in {_PATIENCE:.0f} s")
        chunk = os.read(answer, 4096)
        if not chunk:
            # All of it has ended: the monitor holds the other end for as long as it lives.
            raise _WarmError(said.decode(errors="replace") or "the fork ended")
        said += chunk


def close() -> None:
    """End the warm interpreters of this process; what they started runs on."""
    _pool.close()


def _common(step: root.Step, spec: Spec, directory: Path) -> bool:
    """True for what containers of an image have alike, whatever they are for."""
    match step:
        case root.Proc() | root.Dev():
            return True
        case root.Bind():
            mounts = (each for each in spec.mounts if isinstance(each, Mount))
            mounted = any(step.source == each.source for each in mounts)
            fresh = str(step.source).startswith(f"{directory}/")
            return step.read_only and not mounted and not fresh
        case _:
            return False


def _step(step: root.Step) -> dict[str, Any]:
    match step:
        case root.Bind():
            return {
                "kind": "bind",
                "source": str(step.source),
                "target": step.target,
                "read_only": step.read_only,
                "device": step.device,
            }
        case root.Overlay():
            return {
                "kind": "overlay",
                "source": str(step.upper),
                "lower": str(step.lower),
                "work": str(step.work),
                "places": [(each.path, each.mode, each.content) for each in step.places],
            }
        case root.Proc():
            return {"kind": "proc", "target": step.target, "read_only": step.read_only}
        case root.Dev():
            return {"kind": "dev", "target": step.target, "shared_memory": step.shared_memory}
        case root.Memory():
            return {"kind": "memory", "target": step.target, "size": step.size}
        case root.Seal():
            return {"kind": "seal", "target": step.target}


class _Interpreter:
    """One warm interpreter, seen from its owner."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._ready = False
        self._lock = threading.Lock()
        self._log = os.memfd_create("warm", os.MFD_CLOEXEC)
        self._socket, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.failed_at: float | None = None
        with inner:
            setup = {
                "socket": inner.fileno(),
                "preload": image.preload,
                "idle": _IDLE,
                "kept": _KEPT,
            }
            self._process = subprocess.Popen(
                [*_arguments(image), enclosure.HOST + zygote.__file__, json.dumps(setup)],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(inner.fileno(),),
                start_new_session=True,
                cwd="/",
                env={"HOME": "/root", **image.env},
            )

    def ready(self) -> bool:
        """True once it can fork; notes, and logs, when it has failed. Does not block."""
        with self._lock:
            if self._ready or self.failed_at is not None:
                if self._ready and self._process.poll() is not None:
                    self._fail("it has ended")
                return self._ready
            if not select.select([self._socket], [], [], 0)[0]:
                return False
            said = self._socket.recv(4096).decode(errors="replace")
            if said == "ready":
                self._ready = True
            else:
                self._fail(said or self._evidence())
            return self._ready

    def fork(self, asked: str, request: dict[str, Any], status: int, output: int) -> int:
        """Have it start a container; gives where the answer comes. Raises _WarmError."""
        with contextlib.ExitStack() as stack:
            source = os.memfd_create("request", os.MFD_CLOEXEC)
            stack.callback(os.close, source)
            # Not by json.dump, which encodes in Python.
            os.write(source, json.dumps(request).encode())
            os.lseek(source, 0, os.SEEK_SET)
            answer, reply = os.pipe()
            stack.callback(os.close, reply)
            try:
                descriptors = array.array("i", (source, status, output, reply))
                self._socket.sendmsg(
                    [asked.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
                )
            except OSError as error:
                os.close(answer)
                with self._lock:
                    self._fail(str(error))
                raise _WarmError(f"the warm interpreter is gone: {error}") from error
        return answer

    def close(self) -> None:
        """End it; what it has forked has process groups of its own and lives on."""
        self._socket.close()
        if not self._ready and self._process.poll() is None:
            # Busy with its imports, it would not notice for a while. It has forked nothing yet.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._log)

    def _fail(self, reason: str) -> None:
        self._ready = False
        self.failed_at = time.monotonic()
        logger.warning("no warm start for %s: %s", self._image.reference, reason)

    def _evidence(self) -> str:
        self._process.wait()
        size = os.fstat(self._log).st_size
        text = os.pread(self._log, 2000, max(size - 2000, 0)).decode(errors="replace")
        return text.strip() or "it ended"


def _arguments(image: Image) -> list[str]:
    """Bubblewrap's command line that runs the image's Python beside all files of the host."""
    # Not as 0: the kernel lets only who has CAP_SETFCAP map a 0 on, and containers are to be 0.
    options = [str(bubblewrap.find()), "--unshare-user", "--uid", "1", "--gid", "1"]
    options += ["--ro-bind", "/usr", "/usr", "--tmpfs", "/root"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        top = Path("/", name)
        if top.is_symlink():
            options += ["--symlink", os.readlink(top), f"/{name}"]
        elif top.is_dir():
            options += ["--ro-bind", f"/{name}", f"/{name}"]
    base = root.base_prefix()
    options += ["--ro-bind", base, base] if base else []
    options += ["--ro-bind", "/etc", "/etc", "--tmpfs", "/tmp"]  # noqa: S108 - inside
    options += ["--dev-bind", "/dev", "/dev", "--dev-bind", "/proc", "/proc"]
    options += ["--dev-bind", "/", enclosure.HOST]
    options += ["--ro-bind", str(image.path), image.prefix]
    return [*options, "--", f"{image.prefix}/bin/python"]


class _Pool:
    """The warm interpreters of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._interpreters: dict[str, _Interpreter] = {}

    def find(self, image: Image) -> _Interpreter | None:
        """The interpreter of an image, made if there is none; None while it is not to be tried."""
        with self._lock:
            found = self._interpreters.get(image.reference)
            if found is not None and found.failed_at is not None:
                if time.monotonic() - found.failed_at < _AGAIN:
                    return None
                found.close()
                found = None
            if found is None:
                try:
                    found = _Interpreter(image)
                except (OSError, SandboxError) as error:
                    logger.warning("no warm start for %s: %s", image.reference, error)
                    return None
                self._interpreters[image.reference] = found
            return found

    def close(self) -> None:
        """End them all."""
        with self._lock:
            for interpreter in self._interpreters.values():
                interpreter.close()
            self._interpreters.clear()


_pool = _Pool()
atexit.register(close)
