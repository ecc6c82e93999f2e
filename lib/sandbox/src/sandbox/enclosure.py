"""Make a fork of the warm interpreter into a container: its monitor, its namespaces, its root.

`sandbox.zygote` loads this file by its path, outside of any container but with the host's files
below `/host`. It uses the standard library alone and knows nothing of the rest of this package.

Each container is two processes. The monitor outlives all others: it writes the container's PID 1
and its exit code to the status file, as bubblewrap does. PID 1 makes its own namespaces, builds
the root that it is told to and gives up every privilege; then `enclose` returns in it.

They are made for a request that is there (`Given`), or in advance (`Awaited`): with all that the
next container will have in common with the last one, and nothing of what that one had for itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
from typing import Any

HOST = "/host"
# A folder of the warm interpreter's own root; each container mounts memory of its own there.
_OWN = "/tmp"  # noqa: S108 - nobody else's
_LAYER, _STAGE = f"{_OWN}/layer", f"{_OWN}/stage"

_NEW_NAMESPACES = 0x00020000 | 0x08000000 | 0x04000000  # mount, IPC, UTS
_NEW_USER_AND_PIDS = 0x10000000 | 0x20000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_MNT_DETACH = 2
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_PR_SET_DUMPABLE, _PR_SET_NAME, _PR_CAPBSET_DROP = 4, 15, 24
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
_SYS_MOUNT_SETATTR = 442
_SYS = {"x86_64": {"pivot_root": 155, "capset": 126}, "aarch64": {"pivot_root": 41, "capset": 91}}

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _syscall(number: int, what: str, *arguments: Any) -> None:
    _check(_libc.syscall(ctypes.c_long(number), *arguments), what)


def _prctl(option: int, value: int | bytes, third: int = 0) -> None:
    argument = ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.c_ulong(value)
    result = _libc.prctl(option, argument, ctypes.c_ulong(third), ctypes.c_ulong(0), 0)
    _check(result, f"prctl {option}")


def _mount(
    source: str, target: str, kind: str | None, flags: int, data: str | None = None
) -> None:
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )
    _check(result, f"mount {source} at {target}")


def _restrict(target: str, attributes: int, flags: int = _AT_RECURSIVE) -> None:
    """Add attributes to a mount and all below it."""
    values = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    _syscall(
        _SYS_MOUNT_SETATTR,
        f"restrict {target}",
        _AT_FDCWD,
        os.fsencode(target),
        flags,
        ctypes.byref(values),
        ctypes.c_size_t(ctypes.sizeof(values)),
    )


def _bind(source: str, target: str, *, read_only: bool = False, device: bool = False) -> None:
    _mount(source, target, None, _MS_BIND | _MS_REC)
    attributes = _ATTR_NOSUID
    attributes |= 0 if device else _ATTR_NODEV
    attributes |= _ATTR_RDONLY if read_only else 0
    _restrict(target, attributes)


def _make(target: str, *, folder: bool) -> None:
    if folder:
        os.mkdir(target)
    else:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))


def _ensure(target: str, *, folder: bool) -> None:
    if not os.path.lexists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        _make(target, folder=folder)


def _mount_dev(target: str, shared_memory: int | None) -> None:
    _mount("tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        _make(f"{target}/{name}", folder=False)
        _bind(f"{HOST}/dev/{name}", f"{target}/{name}", device=True)
    for name, link in (
        ("fd", "/proc/self/fd"),
        ("core", "/proc/kcore"),
        ("ptmx", "pts/ptmx"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ):
        os.symlink(link, f"{target}/{name}")
    os.mkdir(f"{target}/shm", 0o755)
    os.mkdir(f"{target}/pts", 0o755)
    options = "newinstance,ptmxmode=0666,mode=620"
    _mount("devpts", f"{target}/pts", "devpts", _MS_NOSUID | _MS_NOEXEC, options)
    _mount_memory(f"{target}/shm", shared_memory, "0755")


def _mount_memory(target: str, size: int | None, mode: str) -> None:
    options = f"mode={mode}" if size is None else f"mode={mode},size={size}"
    _mount("tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV, options)


def _mount_proc(target: str, read_only: list[str]) -> None:
    _mount("proc", target, "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    for name in read_only:
        _bind(f"{target}/{name}", f"{target}/{name}", read_only=True)


def _furnish(places: list[tuple[str, int, str | None]]) -> None:
    """Make what the shared part of the root lacks in memory."""
    for path, mode, content in places:
        place = f"{_LAYER}/{path}"
        if content is None:
            os.mkdir(place, mode)
        else:
            data = content.encode(errors="surrogateescape")
            descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            written = os.write(descriptor, data)
            os.close(descriptor)
            if written < len(data):
                raise OSError(f"no room in memory for /{path}")
        if mode & ~0o755:
            # The umask has taken something of it.
            os.chmod(place, mode)


def _begin_root() -> None:
    """Make the place where this container's own parts are put together."""
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", _OWN, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755")
    os.mkdir(_LAYER)
    os.mkdir(_STAGE)


def _stage(steps: list[dict[str, Any]]) -> list[str]:
    """Mount what is common to containers where it waits to be mounted again; gives the places."""
    places = []
    for number, step in enumerate(steps):
        place = f"{_STAGE}/{number}"
        _make(place, folder=_is_folder(step))
        _mount_step(step, place)
        places.append(place)
    return places


def _is_folder(step: dict[str, Any]) -> bool:
    return step["kind"] != "bind" or os.path.isdir(HOST + step["source"])


def _mount_step(step: dict[str, Any], target: str) -> None:
    if step["kind"] == "bind":
        source = HOST + step["source"]
        _bind(source, target, read_only=step["read_only"], device=step["device"])
    elif step["kind"] == "proc":
        _mount_proc(target, step["read_only"])
    elif step["kind"] == "memory":
        _mount_memory(target, step["size"], "1777")
    else:
        _mount_dev(target, step["shared_memory"])


def _build_root(steps: list[dict[str, Any]], staged: list[str]) -> None:
    """Mount the steps of `sandbox.root` and make the result the root; the old one goes.

    Args:
        steps: all of them.
        staged: where the common ones are, in their order; none if they were not staged.
    """
    top = HOST + steps[0]["source"]
    if steps[0]["kind"] == "overlay":
        _furnish(steps[0]["places"])
        lower = f"{_LAYER}:{HOST}{steps[0]['lower']}"
        options = [f"lowerdir={lower}", f"upperdir={top}", f"workdir={HOST}{steps[0]['work']}"]
        # As bubblewrap does it: the kernel lets no device of such a mount work, and no command
        # gains privileges (no_new_privs).
        _mount("overlay", top, "overlay", 0, ",".join([*options, "userxattr"]))
    else:
        _bind(top, top)
    os.chdir(top)
    waiting = iter(staged)
    for step in steps[1:]:
        if step["kind"] == "seal":
            _restrict(".", _ATTR_RDONLY, flags=0)
            continue
        place = next(waiting, None) if step["common"] else None
        try:
            _complete(step, place)
        except FileNotFoundError:
            # Most of them are there, and to look for each takes as long as to mount it.
            _ensure("." + step["target"], folder=_is_folder(step))
            _complete(step, place)
    _syscall(_SYS[os.uname().machine]["pivot_root"], "pivot_root", b".", b".")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount of the old root")
    os.chdir("/")


def _complete(step: dict[str, Any], staged: str | None) -> None:
    """Mount a step where it belongs in the root, which is the working directory."""
    target = "." + step["target"]
    if staged is None:
        _mount_step(step, target)
    else:
        # Not moved: mounts are listed by their numbers, and the root's is to be the first.
        _mount(staged, target, None, _MS_BIND | _MS_REC)


def _limit_privileges() -> None:
    """No program that this process becomes, or that it starts, has any."""
    with open("/proc/sys/kernel/cap_last_cap") as stream:
        last = int(stream.read())
    for capability in range(last + 1):
        _prctl(_PR_CAPBSET_DROP, capability)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _give_up_privileges() -> None:
    """Nor has this process itself."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _syscall(
        _SYS[os.uname().machine]["capset"],
        "capset",
        ctypes.byref(header),
        ctypes.byref((ctypes.c_uint32 * 6)()),
    )
    _prctl(_PR_SET_DUMPABLE, 1)


class Given:
    """A request that is there, by its descriptors.

    Args:
        source: the request's JSON.
        status: the status file.
        output: the command's output.
        reply: a pipe: "ok" once the command runs, else why it does not.
    """

    def __init__(self, source: int, status: int, output: int, reply: int) -> None:
        self._source, self._status, self._output, self._reply = source, status, output, reply

    def refuse(self, why: str) -> None:
        """Say why it cannot be done."""
        os.write(self._reply, why.encode())

    def leave(self, *, outer: bool) -> None:
        """Let go of what the monitor has no need of, or else PID 1."""
        for descriptor in (self._source, self._output) if outer else (self._status,):
            os.close(descriptor)

    def outer(self) -> tuple[int, int]:
        """What the monitor needs of it: status and reply."""
        return self._status, self._reply

    def inner(self) -> tuple[int, int, int]:
        """What PID 1 needs of it: source, output and reply."""
        return self._source, self._output, self._reply


class Awaited:
    """A request that will come in two parts, or never: then whoever waits for it ends.

    Args:
        outer: where the monitor gets its part.
        inner: where PID 1 gets its own.
    """

    def __init__(self, outer: socket.socket, inner: socket.socket) -> None:
        self._outer, self._inner = outer, inner

    def refuse(self, why: str) -> None:
        """Say why it cannot be done: in the log, since nobody has asked yet."""
        os.write(2, f"a container in advance: {why}\n".encode())

    def leave(self, *, outer: bool) -> None:
        """Let go of what the monitor has no need of, or else PID 1."""
        (self._inner if outer else self._outer).close()

    def outer(self) -> tuple[int, int]:
        """What the monitor needs of it: status and reply."""
        status, reply = self._await(self._outer, 2)
        return status, reply

    def inner(self) -> tuple[int, int, int]:
        """What PID 1 needs of it: source, output and reply."""
        source, output, reply = self._await(self._inner, 3)
        return source, output, reply

    @staticmethod
    def _await(connection: socket.socket, count: int) -> list[int]:
        message, descriptors, _, _ = socket.recv_fds(connection, 1, count)
        if not message:
            os._exit(0)
        connection.close()
        return descriptors


def enclose(asked: bytes, request: Given | Awaited) -> dict[str, Any]:
    """Be the monitor; returns the request in PID 1 alone, ready to run the command.

    What each of the two has no need of is left to the other: every page that one writes to is
    copied for it.

    Args:
        asked: the user and the group to be in the container, as numbers, and in JSON the steps
            that it has in common with others.
        request: the request.
    """
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    gate_out, gate_in = os.pipe()
    begun_out, begun_in = os.pipe()
    user, group, common = asked.split(b" ", 2)
    what = "new namespaces"
    try:
        outer_user, outer_group = os.getuid(), os.getgid()
        _check(_libc.unshare(_NEW_USER_AND_PIDS), "user and PID")
        _prctl(_PR_SET_DUMPABLE, 1)
        for name, text in (
            ("setgroups", b"deny"),
            ("uid_map", b"%b %d 1" % (user, outer_user)),
            ("gid_map", b"%b %d 1" % (group, outer_group)),
        ):
            what = f"write {text!r} to {name}"
            descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
            os.write(descriptor, text)
            os.close(descriptor)
        what = "fork"
        pid = os.fork()
    except OSError as error:
        request.refuse(f"{what}: {error}")
        os._exit(1)
    if pid == 0:
        os.close(gate_in)
        os.close(begun_out)
        request.leave(outer=False)
        return _become(request, common, begun_in, gate_out)
    os.close(begun_in)
    os.close(gate_out)
    request.leave(outer=True)
    status, reply = request.outer()
    try:
        namespace = os.stat(f"/proc/{pid}/ns/pid").st_ino
        os.write(status, b'{"child-pid": %d, "pid-namespace": %d}\n' % (pid, namespace))
        os.write(gate_in, b"1")
    except OSError as error:
        # PID 1 has ended, and said why; or it will, once it finds its gate closed.
        os.write(reply, f"its monitor: {error}; ".encode())
        os._exit(1)
    os.close(gate_in)
    _, result = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(result)
    if os.read(begun_out, 1):
        os.write(status, b'{"exit-code": %d}\n' % (code if code >= 0 else 128 - code))
    os._exit(0)


def _become(request: Given | Awaited, common: bytes, begun: int, gate: int) -> dict[str, Any]:
    """Turn this PID 1 into the container, up to the command itself; a failure ends it.

    Meanwhile the monitor writes down who that is; it opens the gate once it has.
    """
    reply, staged = -1, []
    try:
        os.setsid()
        _check(_libc.unshare(_NEW_NAMESPACES), "new namespaces")
        os.umask(0o022)
        _limit_privileges()
        _begin_root()
        if isinstance(request, Awaited):
            staged = _stage(json.loads(common))
        source, output, reply = request.inner()
        with open(source) as stream:
            asked: dict[str, Any] = json.load(stream)
        socket.sethostname(asked["hostname"])
        _build_root(asked["steps"], staged)
        if asked["processes"] is not None:
            # In the new user namespace: it counts what is in there.
            resource.setrlimit(resource.RLIMIT_NPROC, (asked["processes"],) * 2)
        _give_up_privileges()
        os.chdir(asked["cwd"])
        _prctl(_PR_SET_NAME, os.fsencode(os.path.basename(asked["command"][0]))[:15])
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        for descriptor in {null, output} - {0, 1, 2}:
            os.close(descriptor)
        if not os.read(gate, 1):
            raise RuntimeError("its monitor has ended")
        os.close(gate)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the starter is to know it
        why = f"{type(error).__name__}: {error}"
        if reply < 0:
            request.refuse(why)
        else:
            os.write(reply, why.encode())
        os._exit(1)
    os.write(begun, b"1")
    # The owner may have died while it waited: another will find the container on disk.
    with contextlib.suppress(BrokenPipeError):
        os.write(reply, b"ok")
    os.close(begun)
    os.close(reply)
    return asked
