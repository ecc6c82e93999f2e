"""The warm interpreter: imports an image's modules once and forks a container for each request.

`sandbox.warm` runs this file with the image's own Python, outside of any container but with the
image at its usual path and the host's files below `/host`. It uses the standard library alone and
knows nothing of the rest of this package.

Each request makes two processes. The monitor outlives all others: it writes the container's PID 1
and its exit code to the status file, as bubblewrap does. PID 1 makes its own namespaces, builds
the root that it is told to, gives up every privilege, and then is the command: control returns
from `serve` to the end of this file, and the interpreter ends as it would have ended by itself.
"""

from __future__ import annotations

import array
import builtins
import contextlib
import ctypes
import gc
import importlib
import importlib.machinery
import io
import json
import mmap
import os
import runpy
import signal
import socket
import sys
import time
import types
from typing import Any, NoReturn

HOST = "/host"

_NEW_NAMESPACES = 0x00020000 | 0x08000000 | 0x04000000  # mount, IPC, UTS
_NEW_USER_AND_PIDS = 0x10000000 | 0x20000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_MNT_DETACH = 2
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_PR_SET_DUMPABLE, _PR_SET_NAME, _PR_CAPBSET_DROP = 4, 15, 24
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
_PR_SET_MM, _PR_SET_MM_MAP = 35, 14
_SYS_MOUNT_SETATTR = 442
_SYS = {"x86_64": {"pivot_root": 155, "capset": 126}, "aarch64": {"pivot_root": 41, "capset": 91}}

_libc = ctypes.CDLL(None, use_errno=True)
_shown: list[mmap.mmap] = []


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


def _ensure(target: str, *, folder: bool) -> None:
    if os.path.lexists(target):
        return
    if folder:
        os.makedirs(target)
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))


def _mount_dev(target: str, shared_memory: int | None) -> None:
    _mount("tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        _ensure(f"{target}/{name}", folder=False)
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


def _build_root(steps: list[dict[str, Any]]) -> None:
    """Mount the steps of `sandbox.root` and make the result the root; the old one goes."""
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    top = HOST + steps[0]["source"]
    _bind(top, top)
    for step in steps[1:]:
        target = top + step["target"]
        if step["kind"] == "bind":
            source = HOST + step["source"]
            _ensure(target, folder=os.path.isdir(source))
            _bind(source, target, read_only=step["read_only"], device=step["device"])
        elif step["kind"] == "proc":
            _mount_proc(target, step["read_only"])
        elif step["kind"] == "memory":
            _ensure(target, folder=True)
            _mount_memory(target, step["size"], "1777")
        elif step["kind"] == "seal":
            _restrict(top, _ATTR_RDONLY, flags=0)
        else:
            _mount_dev(target, step["shared_memory"])
    os.chdir(top)
    _syscall(_SYS[os.uname().machine]["pivot_root"], "pivot_root", b".", b".")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount of the old root")
    os.chdir("/")


def _give_up_privileges() -> None:
    with open("/proc/sys/kernel/cap_last_cap") as stream:
        last = int(stream.read())
    for capability in range(last + 1):
        _prctl(_PR_CAPBSET_DROP, capability)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _syscall(
        _SYS[os.uname().machine]["capset"],
        "capset",
        ctypes.byref(header),
        ctypes.byref((ctypes.c_uint32 * 6)()),
    )
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 1)


def _show(command: list[str], environment: dict[str, str]) -> None:
    """Have /proc show the command and its environment in place of this program's own.

    Left as it is where the kernel cannot do it: no program should depend on it.
    """
    words = b"".join(os.fsencode(word) + b"\0" for word in command)
    variables = b"".join(
        os.fsencode(f"{name}={value}") + b"\0" for name, value in environment.items()
    )
    # Never unmapped: the kernel reads it whenever somebody looks, and reads no shared memory.
    area = mmap.mmap(-1, len(words) + len(variables), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.write(words + variables)
    _shown.append(area)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    middle, end = start + len(words), start + len(words) + len(variables)
    with open("/proc/self/stat") as stream:
        fields = stream.read().rpartition(")")[2].split()
    # By their numbers in proc(5), of which the first after the name is 3.
    code, stack, data = fields[23:25], fields[25], fields[42:45]
    _libc.sbrk.restype = ctypes.c_void_p
    layout = [*code, *data[:2], data[2], _libc.sbrk(0), stack, start, middle, middle, end]
    values = (ctypes.c_uint64 * 13)(*(int(value) for value in layout), 0, 0xFFFFFFFF << 32)
    _libc.prctl(
        _PR_SET_MM,
        ctypes.c_ulong(_PR_SET_MM_MAP),
        ctypes.byref(values),
        ctypes.c_ulong(ctypes.sizeof(values)),
        ctypes.c_ulong(0),
    )


def _monitor(request: dict[str, Any], status: int, output: int, reply: int) -> dict[str, Any]:
    """Be the monitor; returns in PID 1 alone, ready to run the command."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    gate_out, gate_in = os.pipe()
    begun_out, begun_in = os.pipe()
    what, user, group = "new namespaces", os.getuid(), os.getgid()
    try:
        _check(_libc.unshare(_NEW_USER_AND_PIDS), "user and PID")
        _prctl(_PR_SET_DUMPABLE, 1)
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{request['user']} {user} 1"),
            ("gid_map", f"{request['group']} {group} 1"),
        ):
            what = f"write {text!r} to {name}"
            with open(f"/proc/self/{name}", "w") as stream:
                stream.write(text)
        what = "fork"
        pid = os.fork()
    except OSError as error:
        os.write(reply, f"{what}: {error}".encode())
        os._exit(1)
    if pid == 0:
        os.close(gate_in)
        os.close(begun_out)
        os.close(status)
        os.read(gate_out, 1)
        os.close(gate_out)
        _become(request, output, reply, begun_in)
        return request
    for descriptor in (begun_in, gate_out, output):
        os.close(descriptor)
    namespace = os.stat(f"/proc/{pid}/ns/pid").st_ino
    record = {"child-pid": pid, "pid-namespace": namespace}
    os.write(status, json.dumps(record).encode() + b"\n")
    os.close(gate_in)
    _, result = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(result)
    if os.read(begun_out, 1):
        record = {"exit-code": code if code >= 0 else 128 - code}
        os.write(status, json.dumps(record).encode() + b"\n")
    os._exit(0)


def _become(request: dict[str, Any], output: int, reply: int, begun: int) -> None:
    """Turn this PID 1 into the container, up to the command itself; a failure ends it."""
    try:
        os.setsid()
        _check(_libc.unshare(_NEW_NAMESPACES), "new namespaces")
        socket.sethostname(request["hostname"])
        os.umask(0o022)
        _build_root(request["steps"])
        _give_up_privileges()
        os.chdir(request["cwd"])
        _prctl(_PR_SET_NAME, os.fsencode(os.path.basename(request["command"][0]))[:15])
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        for descriptor in {null, output} - {0, 1, 2}:
            os.close(descriptor)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the starter is to know it
        os.write(reply, f"{type(error).__name__}: {error}".encode())
        os._exit(1)
    os.write(begun, b"1")
    # The owner may have died while it waited: another will find the container on disk.
    with contextlib.suppress(BrokenPipeError):
        os.write(reply, b"ok")
    os.close(begun)
    os.close(reply)


def _close_all_but(keep: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in keep:
            try:
                os.close(int(name))
            except OSError:
                continue  # The descriptor of the listing itself.


def _serve(connection: socket.socket, idle: float) -> dict[str, Any]:
    """Fork a container for each request; returns in the containers alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    connection.settimeout(idle)
    while True:
        try:
            message, ancillary, _, _ = connection.recvmsg(16, socket.CMSG_SPACE(4 * 4))
        except TimeoutError:
            sys.exit(0)
        if not message:
            # The owner has gone: nothing will be asked any more. The containers live on.
            sys.exit(0)
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        if os.fork() == 0:
            source, status, output, reply = descriptors
            connection.close()
            with open(source) as stream:
                request = json.load(stream)
            _close_all_but({status, output, reply})
            return _monitor(request, status, output, reply)
        for descriptor in descriptors:
            os.close(descriptor)


def _set_streams(*, unbuffered: bool) -> None:
    """Standard streams as a new interpreter makes them, on the descriptors of the container."""
    encoding, errors = sys.stdout.encoding, sys.stdout.errors
    for name, descriptor in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        file = io.FileIO(descriptor, "rb" if name == "stdin" else "wb", closefd=False)
        stream: Any = file
        if name == "stdin":
            stream = io.BufferedReader(file)
        elif not unbuffered:
            stream = io.BufferedWriter(file)
        text = io.TextIOWrapper(
            stream,
            encoding=encoding,
            errors="backslashreplace" if name == "stderr" else errors,
            line_buffering=name == "stderr",
            write_through=unbuffered,
        )
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)


def _set_environment(wanted: dict[str, str]) -> None:
    # The interpreter itself sets this one when it finds no locale; see PEP 538.
    coerced = os.environ.get("LC_CTYPE")
    os.environ.clear()
    os.environ.update(wanted)
    if coerced is not None and not {"LC_ALL", "LC_CTYPE", "LANG"} & set(wanted):
        os.environ["LC_CTYPE"] = coerced
    time.tzset()


def _reseed() -> None:
    """Give modules that drew a random seed when they were imported a new one."""
    for name in ("numpy.random", "torch"):
        module = sys.modules.get(name)
        if module is not None:
            module.seed()


def _run(request: dict[str, Any]) -> None:
    """Run the command as `python OPTIONS` would. Returns, or raises SystemExit, at its end."""
    command: list[str] = request["command"]
    words = command[1:]
    unbuffered = bool(request["environment"].get("PYTHONUNBUFFERED"))
    while words[0] == "-u":
        unbuffered = True
        words = words[1:]
    name = command[0]
    sys.executable = name if "/" in name else f"{sys.prefix}/bin/{name}"
    sys.orig_argv = [*command]
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _show(command, request["environment"])
    _set_environment(request["environment"])
    _set_streams(unbuffered=unbuffered)
    _reseed()
    for path, finder in list(sys.path_importer_cache.items()):
        if finder is None:
            # What was not there may be in the container.
            del sys.path_importer_cache[path]
    extra = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:0] = [os.path.abspath(path) for path in extra]
    main = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=builtins, __annotations__={})
    sys.modules["__main__"] = main
    try:
        _run_words(words, main)
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - this is where an interpreter reports them
        _report(error)


def _run_words(words: list[str], main: types.ModuleType) -> None:
    if words[0] == "-m":
        sys.argv = ["-m", *words[2:]]
        sys.path.insert(0, os.getcwd())
        sys.modules.pop(words[1], None)
        runpy._run_module_as_main(words[1])  # type: ignore[attr-defined]
        return
    if words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        sys.path.insert(0, "")
        main.__dict__["__loader__"] = importlib.machinery.BuiltinImporter
        exec(compile(words[1], "<string>", "exec"), main.__dict__)  # noqa: S102 - the command
        return
    script, sys.argv = words[0], words
    if os.path.isdir(script) or script.endswith((".zip", ".pyz")):
        sys.path.insert(0, script)
        runpy._run_module_as_main("__main__", False)  # type: ignore[attr-defined]
        return
    try:
        with open(script, "rb") as stream:
            source = stream.read()
    except OSError as error:
        where = os.path.abspath(script)
        fault = f"can't open file {where!r}: [Errno {error.errno}] {error.strerror}"
        sys.stderr.write(f"{sys.orig_argv[0]}: {fault}\n")
        sys.exit(2)
    sys.path.insert(0, os.path.dirname(os.path.realpath(script)))
    loader = importlib.machinery.SourceFileLoader("__main__", script)
    main.__dict__.update(__file__=os.path.abspath(script), __cached__=None, __loader__=loader)
    exec(compile(source, os.path.abspath(script), "exec"), main.__dict__)  # noqa: S102 - the same


def _report(error: BaseException) -> NoReturn:
    """Print an uncaught exception without the frames of this file, and end as Python does."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    error.__traceback__ = trace
    sys.excepthook(type(error), error, trace)
    sys.exit(130 if isinstance(error, KeyboardInterrupt) else 1)


def _preload(modules: list[str]) -> str:
    """Import the modules; what went wrong, or nothing."""
    for name in modules:
        try:
            importlib.import_module(name)
        except BaseException as error:  # noqa: BLE001 - a module may do anything when imported
            return f"import {name}: {type(error).__name__}: {error}"
    tasks = len(os.listdir("/proc/self/task"))
    if tasks > 1:
        return (
            f"importing {', '.join(modules)} starts threads ({tasks}); they do not survive a fork"
        )
    return ""


def _main() -> None:
    setup = json.loads(sys.argv[1])
    # The folder of this file is not the container's business.
    del sys.path[0]
    connection = socket.socket(fileno=setup["socket"])
    fault = _preload(setup["preload"])
    if fault:
        connection.send(fault.encode()[:4000])
        sys.exit(1)
    gc.collect()
    gc.freeze()
    connection.send(b"ready")
    _run(_serve(connection, setup["idle"]))


if __name__ == "__main__":
    _main()
