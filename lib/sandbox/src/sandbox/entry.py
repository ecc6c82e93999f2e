"""Run a further command in a running container: enters its namespaces, then is that command.

`sandbox.execution` runs this file with the interpreter of this package, outside of the container.
It uses the standard library alone. The user who made a container's user namespace may enter it
without any privilege; what is gained on the way in is given up before the command runs.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import sys
import termios
from typing import Any, NoReturn

_NEW_USER, _NEW_NETWORK, _NEW_PID, _NEW_MOUNT, _NEW_IPC, _NEW_UTS = (
    0x10000000,
    0x40000000,
    0x20000000,
    0x00020000,
    0x08000000,
    0x04000000,
)
_NS_GET_USERNS = 0xB701
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
_SYS_CAPSET = {"x86_64": 126, "aarch64": 91}

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _prctl(option: int, value: int, third: int = 0) -> None:
    result = _libc.prctl(
        option, ctypes.c_ulong(value), ctypes.c_ulong(third), ctypes.c_ulong(0), 0
    )
    _check(result, f"prctl {option}")


def _die_with_parent() -> None:
    parent = os.getppid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _start_time(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as stream:
        return int(stream.read().rpartition(")")[2].split()[19])


def _join(descriptor: int, kind: int, what: str) -> None:
    _check(_libc.setns(descriptor, kind), f"enter the {what} namespace")


def _enter(pid: int, start: int) -> None:
    """Enter the namespaces of a process, told by its start time from any other with its pid."""
    opened = {
        name: os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        for name in ("user", "net", "mnt", "pid", "ipc", "uts")
    }
    if _start_time(pid) != start:
        raise ProcessLookupError(errno.ESRCH, f"process {pid} is another one by now")
    network = opened["net"]
    if os.fstat(network).st_ino != os.stat("/proc/self/ns/net").st_ino:
        # One of its own belongs to another user namespace, around that of the container.
        keeper = fcntl.ioctl(network, _NS_GET_USERNS)
        _join(keeper, _NEW_USER, "network's user")
        _join(network, _NEW_NETWORK, "network")
        os.close(keeper)
    # Bubblewrap mounts in one user namespace and may run the command in a second one inside it.
    owner = fcntl.ioctl(opened["mnt"], _NS_GET_USERNS)
    _join(owner, _NEW_USER, "user")
    _join(opened["mnt"], _NEW_MOUNT, "mount")
    _join(opened["pid"], _NEW_PID, "PID")
    _join(opened["ipc"], _NEW_IPC, "IPC")
    _join(opened["uts"], _NEW_UTS, "UTS")
    if os.fstat(owner).st_ino != os.fstat(opened["user"]).st_ino:
        _join(opened["user"], _NEW_USER, "inner user")
    for descriptor in (owner, *opened.values()):
        os.close(descriptor)
    os.chdir("/")


def _give_up_privileges() -> None:
    with open("/proc/sys/kernel/cap_last_cap") as stream:
        last = int(stream.read())
    for capability in range(last + 1):
        _prctl(_PR_CAPBSET_DROP, capability)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    number = ctypes.c_long(_SYS_CAPSET[os.uname().machine])
    _check(_libc.syscall(number, ctypes.byref(header), ctypes.byref(none)), "capset")
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _terminal(control: socket.socket) -> None:
    """Make the container's own terminal the standard streams, and hand its other end out."""
    master, slave = os.openpty()
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for descriptor in (0, 1, 2):
        os.dup2(slave, descriptor)
    socket.send_fds(control, [b"terminal"], [master])
    os.close(master)
    if slave > 2:
        os.close(slave)


def _command(request: dict[str, Any], control: socket.socket) -> NoReturn:
    """Be the command. What keeps it from running goes to the owner; success closes the socket."""
    command: list[str] = request["command"]
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        if request["terminal"]:
            _terminal(control)
        else:
            os.setsid()
        os.umask(0o022)
        os.chdir(request["cwd"])
        if request["processes"] is not None:
            resource.setrlimit(resource.RLIMIT_NPROC, (request["processes"],) * 2)
        _give_up_privileges()
        _die_with_parent()
        os.execvpe(command[0], command, request["environment"])  # noqa: S606 - its very purpose
    except FileNotFoundError:
        control.send(f'127 exec: "{command[0]}": executable file not found in $PATH'.encode())
    except OSError as error:
        control.send(f'126 exec: "{command[0]}": {os.strerror(error.errno or 0)}'.encode())
    os._exit(126)


def main() -> NoReturn:
    """Enter, run, and end as the command ends."""
    request_file, control_file = (int(word) for word in sys.argv[1:3])
    control = socket.socket(fileno=control_file)
    control.set_inheritable(False)
    owner = os.getppid()
    try:
        _die_with_parent()
        # What runs in the container must not look into this program, which comes from outside.
        _prctl(_PR_SET_DUMPABLE, 0)
        with open(request_file) as stream:
            request = json.load(stream)
        if request["cgroup"]:
            with open(f"{request['cgroup']}/cgroup.procs", "w") as stream:
                stream.write(str(os.getpid()))
        _enter(request["pid"], request["start"])
        # From here on it may not end without its command: what it is told waits until it can heed
        # it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        # Only a child is in the PID namespace.
        pid = os.fork()
    except OSError as error:
        control.send(f"1 {error}".encode())
        os._exit(1)
    if pid == 0:
        _command(request, control)
    # Told to end, or left alone, it ends the command and waits for it: whoever else inherits the
    # command may never do so, and a dead process that nobody waits for keeps its PID namespace,
    # and with it the whole container, from ending.
    signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGKILL))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    if os.getppid() != owner:
        os.kill(pid, signal.SIGKILL)
    control.close()
    for descriptor in (0, 1, 2):
        # The streams are the command's: their other ends must see when it closes them.
        os.close(descriptor)
    _, result = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(result)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
