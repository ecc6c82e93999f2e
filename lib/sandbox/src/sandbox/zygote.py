"""The warm interpreter: imports modules once and forks a command for each request.

It has two users. `sandbox.warm` runs it with a process image's Python, outside of any container
but with the image at its usual path and the host's files below `/host`: each fork makes itself a
container of its own (`sandbox.enclosure`). Or an owner runs it as PID 1 of a container: each fork
runs the same script in there, and nothing of one is left when the next begins.

It uses the standard library alone, of Python 3.8 or later, and knows nothing of the rest of this
package. A fork returns from the function that serves to the end of this file, runs the command,
and ends as an interpreter of its own would have ended, but that it is not taken apart (`_end`).
"""

from __future__ import annotations

import array
import atexit
import builtins
import contextlib
import ctypes
import functools
import gc
import importlib
import importlib.machinery
import importlib.util
import io
import json
import mmap
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time
import types
import weakref
from typing import Any, NoReturn

_PR_SET_MM, _PR_SET_MM_MAP = 35, 14
_OPENSSL_INIT_NO_ATEXIT = 0x00080000
# Bytes of the longest request.
_LONGEST = 1 << 16
# Seconds until the next container is made in advance though the last one still runs.
_LULL = 0.1

_libc = ctypes.CDLL(None, use_errno=True)
_python = ctypes.PyDLL(None, use_errno=True)
_shown: list[mmap.mmap] = []


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
    before, stack = _layout()
    _libc.sbrk.restype = ctypes.c_void_p
    layout = [*before, _libc.sbrk(0), stack, start, middle, middle, end]
    values = (ctypes.c_uint64 * 13)(*layout, 0, 0xFFFFFFFF << 32)
    _libc.prctl(
        _PR_SET_MM,
        ctypes.c_ulong(_PR_SET_MM_MAP),
        ctypes.byref(values),
        ctypes.c_ulong(ctypes.sizeof(values)),
        ctypes.c_ulong(0),
    )


@functools.cache
def _layout() -> tuple[list[int], int]:
    """Where this program has its code, its data and its stack, as its forks have them too."""
    with open("/proc/self/stat") as stream:
        fields = stream.read().rpartition(")")[2].split()
    # By their numbers in proc(5), of which the first after the name is 3.
    return [int(field) for field in (*fields[23:25], *fields[42:45])], int(fields[25])


def _close_all_but(keep: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in keep:
            try:
                os.close(int(name))
            except OSError:
                continue  # The descriptor of the listing itself.


def _receive(connection: socket.socket, count: int) -> tuple[bytes, list[int]]:
    """The next request, words and descriptors; ends this process when there will be none."""
    message, ancillary, _, _ = connection.recvmsg(_LONGEST, socket.CMSG_SPACE(4 * count))
    if not message:
        # The owner has gone: nothing will be asked any more. Containers made here live on.
        sys.exit(0)
    descriptors = array.array("i")
    for _, _, data in ancillary:
        descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    return message, list(descriptors)


class _Spare:
    """A container that was made in advance, seen from outside.

    Args:
        asked: what the next container has to ask for to have this one.
        until: when it goes unused, by the monotonic clock.
        monitor: its monitor.
        outer: the end of its monitor's socket.
        inner: that of its PID 1.
    """

    def __init__(
        self,
        asked: bytes,
        until: float,
        monitor: int,
        outer: socket.socket,
        inner: socket.socket,
    ) -> None:
        self.asked = asked
        self.until = until
        self.monitor = monitor
        self._outer, self._inner = outer, inner

    def take(self, source: int, status: int, output: int, reply: int) -> bool:
        """Give it a request; False if it has ended, and has nothing of it."""
        try:
            # They say nothing: one that can be read from has ended.
            if select.select([self._outer, self._inner], [], [], 0)[0]:
                return False
            try:
                socket.send_fds(self._inner, [b"1"], [source, output, reply])
            except OSError:
                return False
            # A monitor that has ended since opens no gate: then PID 1 says so, and runs nothing.
            with contextlib.suppress(OSError):
                socket.send_fds(self._outer, [b"1"], [status, reply])
        finally:
            self.close()
        return True

    def close(self) -> None:
        """Let go of it; without a request it ends."""
        self._outer.close()
        self._inner.close()


class _Containers:
    """Forks a container for each request.

    Where one comes after the other, the next is made in advance, as the last one was: as soon as
    that has ended, when the processors have little to do.

    Args:
        connection: the owner's.
        idle: seconds after which nobody will ask any more.
        kept: seconds that a container waits for its request.
        enclosure: the module that makes them.
    """

    def __init__(
        self, connection: socket.socket, idle: float, kept: float, enclosure: Any
    ) -> None:
        self._connection = connection
        self._idle, self._kept = idle, kept
        self._enclosure = enclosure
        self._spare: _Spare | None = None
        self._last = b""
        self._ended = -1

    def serve(self) -> dict[str, Any]:
        """Serve requests; returns in the containers alone, with what each is to run."""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        for name in set(os.environ) - {"LC_CTYPE"}:
            # Each command brings its own, and would have to take these away first.
            del os.environ[name]
        while True:
            made = self._answer() if self._asked() else self._prepare()
            if made is not None:
                _close_all_but(set())
                return made

    def _asked(self) -> bool:
        """Wait for a request; False if it is time to do something else."""
        patience = self._idle
        if self._spare is not None:
            patience = max(self._spare.until - time.monotonic(), 0)
        elif self._last:
            patience = _LULL
        waiting: list[Any] = [self._connection]
        if self._ended >= 0:
            waiting.append(self._ended)
        ready = select.select(waiting, [], [], patience)[0]
        return self._connection in ready

    def _answer(self) -> dict[str, Any] | None:
        asked, descriptors = _receive(self._connection, 4)
        spare, monitor = self._spare, 0
        if spare is not None and spare.asked == asked:
            self._spare = None
            if spare.take(*descriptors):
                monitor = spare.monitor
        if not monitor:
            monitor = _fork_monitor()
            if monitor == 0:
                self._leave()
                return self._enclosed(asked, self._enclosure.Given(*descriptors))
        for descriptor in descriptors:
            os.close(descriptor)
        if self._spare is None:
            self._last = asked
            self._follow(monitor)
        return None

    def _prepare(self) -> dict[str, Any] | None:
        """Make a container in advance, or let go of one that nobody has asked for."""
        self._unfollow()
        if self._spare is not None:
            self._spare.close()
            self._spare, self._last = None, b""
        elif self._last:
            outer, outer_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            inner, inner_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            monitor = _fork_monitor()
            if monitor == 0:
                outer.close()
                inner.close()
                self._leave()
                return self._enclosed(self._last, self._enclosure.Awaited(outer_end, inner_end))
            outer_end.close()
            inner_end.close()
            until = time.monotonic() + self._kept
            self._spare = _Spare(self._last, until, monitor, outer, inner)
        else:
            sys.exit(0)
        return None

    def _enclosed(self, asked: bytes, request: Any) -> dict[str, Any]:
        made: dict[str, Any] = self._enclosure.enclose(asked, request)
        return made

    def _follow(self, monitor: int) -> None:
        """Hear of the end of a container, by its monitor's."""
        self._unfollow()
        # A kernel that cannot tell of it, or its end already: then it is a matter of time.
        with contextlib.suppress(OSError):
            self._ended = os.pidfd_open(monitor)

    def _unfollow(self) -> None:
        if self._ended >= 0:
            os.close(self._ended)
            self._ended = -1

    def _leave(self) -> None:
        """Let go of all of this, in a fork."""
        self._connection.close()
        self._unfollow()
        if self._spare is not None:
            self._spare.close()


def _fork_monitor() -> int:
    """Fork as `os.fork` does, without what Python has modules do in the child.

    That (new random seeds, new locks) copies a third of the pages that a monitor writes to, which
    needs none of it. Its own child, in which a command runs, has all done by `os.fork`.
    """
    pid: int = _python.fork()
    if pid < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return pid


def _serve_here(connection: socket.socket, base: dict[str, str], script: str) -> dict[str, Any]:
    """Fork a run of the script for each request, in this very container; returns in those alone.

    As PID 1 it inherits what a run leaves behind, and ends it. A run that leaves something of
    which only a new container would be free is the last one here.
    """
    if os.getpid() != 1:
        # To end what is left is to end all that it sees: it must be alone in its namespace.
        sys.exit("this is not PID 1 of a container")
    # What the shell that started this added to the environment that it was given.
    added = {name: value for name, value in os.environ.items() if base.get(name) != value}
    names = {name.partition(".")[0] for name in sys.modules} - {"__main__"}
    names |= {"sitecustomize", "usercustomize"}
    folders = [*_python_path(), os.path.dirname(os.path.realpath(script))]
    python = getattr(sys, "orig_argv", [sys.executable])[0]
    devices = set(os.listdir("/dev"))
    while True:
        _, (source, *streams) = _receive(connection, 4)
        with open(source) as stream:
            request = json.load(stream)
        objection = _shadow(folders, names) or _changed(request["launcher"], request["text"])
        if objection:
            for descriptor in streams:
                os.close(descriptor)
            connection.send(f"cold {objection}".encode()[:4000])
            continue
        connection.send(b"begun")
        pid = os.fork()
        if pid == 0:
            connection.close()
            for target, descriptor in enumerate(streams):
                os.dup2(descriptor, target)
            _close_all_but(set())
            request["environment"].update(added)
            return {**request, "command": [python, script]}
        for descriptor in streams:
            os.close(descriptor)
        code, last = _attend(pid), _litter(devices)
        connection.send(f"ended {code}{' last' if last else ''}".encode())
        if last:
            sys.exit(0)


def _python_path() -> list[str]:
    words = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [os.path.abspath(word) for word in words if word]


def _shadow(folders: list[str], names: set[str]) -> str:
    """Why a new interpreter would not find all that was imported here where this one did."""
    suffixes = importlib.machinery.all_suffixes()
    for folder in folders:
        for entry in os.listdir(folder) if os.path.isdir(folder) else ():
            name, dot, rest = entry.partition(".")
            path = os.path.join(folder, entry)
            if name in names and (dot + rest in suffixes if dot else os.path.isdir(path)):
                return f"{path} hides a module that was imported already"
    return ""


def _changed(path: str, text: str) -> str:
    """Why a program is not the one that it was."""
    try:
        with open(path, newline="") as stream:
            return "" if stream.read() == text else f"{path} was changed"
    except (OSError, ValueError) as error:
        return f"{path} cannot be read: {error}"


def _attend(pid: int) -> int:
    """Wait for a child, as the PID 1 that ends with it would; what it left behind is ended too."""
    while True:
        found, status = os.waitpid(-1, 0)
        if found == pid:
            break
    with contextlib.suppress(ProcessLookupError):
        # To all in this PID namespace but its PID 1.
        os.kill(-1, signal.SIGKILL)
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _litter(devices: set[str]) -> bool:
    """Whether something is left in this container's memory: in /dev, or of System V's kind."""
    if os.listdir("/dev/shm") or set(os.listdir("/dev")) != devices:  # noqa: S108 - not a draft
        return True
    for kind in ("shm", "sem", "msg"):
        path = f"/proc/sysvipc/{kind}"
        if os.path.exists(path):
            with open(path) as stream:
                if len(stream.readlines()) > 1:
                    return True
    return False


def _set_streams(*, unbuffered: bool) -> None:
    """Standard streams as a new interpreter makes them, on the descriptors of the container."""
    encoding, errors = sys.stdout.encoding, sys.stdout.errors
    for name, descriptor in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        file: Any = io.FileIO(descriptor, "rb" if name == "stdin" else "wb", closefd=False)
        file.name = f"<{name}>"
        stream: Any = file
        if name == "stdin":
            stream = io.BufferedReader(file)
        elif not unbuffered:
            stream = io.BufferedWriter(file)
        text: Any = io.TextIOWrapper(
            stream,
            encoding=encoding,
            errors="backslashreplace" if name == "stderr" else errors,
            line_buffering=name == "stderr",
            write_through=unbuffered,
        )
        text.mode = "r" if name == "stdin" else "w"
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


def _status(value: object) -> int:
    """The exit code of a SystemExit with this value, as Python has it."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value & 0xFF if -(2**63) <= value < 2**63 else 0xFF
    with contextlib.suppress(Exception):
        sys.stderr.write(f"{value}\n")
    return 1


def _end(code: int, loaded: set[str]) -> NoReturn:
    """End this process as its interpreter would, and leave alone what came with the fork.

    To free each object of the modules that were loaded before would copy every page that holds
    one: it costs more than a short command.

    Args:
        code: the exit code.
        loaded: the names of those modules.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if threading.active_count() > 1 or not _flush():
        # Only the interpreter's own end stops daemons before their modules go, and only it tells
        # of streams that cannot be written.
        sys.exit(code)
    _unload({name for name in sys.modules if name not in loaded or name == "__main__"})
    for thing in gc.get_objects():
        # Files that are still open: what was written to them is written out. By type: what a thing
        # says of its class may be a lie, or code that fails.
        if issubclass(type(thing), (io.TextIOWrapper, io.BufferedIOBase)):
            with contextlib.suppress(Exception):
                thing.flush()
    if not _flush():
        sys.exit(code)
    # What is to be done at the end of a C program is done, with no other thread at work in Python.
    ctypes.PyDLL(None).exit(code)
    raise AssertionError  # It does not return.


def _flush() -> bool:
    """Write the standard streams out; False if that fails."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except Exception:  # noqa: BLE001 - the interpreter's own end meets it again, and tells
        return False
    return True


def _unload(names: set[str]) -> None:
    """Let these modules go, the last one first, in the steps of Python's own end.

    What only they hold goes while they are still whole; then they are emptied.
    """
    left = []
    for name in reversed([name for name in sys.modules if name in names]):
        module = sys.modules.pop(name)
        if issubclass(type(module), types.ModuleType):
            left.append(weakref.ref(module))
        del module
    gc.collect()
    for reference in left:
        found = reference()
        if found is not None:
            _clear(found)
    gc.collect()


def _clear(module: types.ModuleType) -> None:
    """Let go of what a module holds, those with an underscore first, as at Python's own end."""
    # Its own, whatever a lazy module has in its place.
    held: dict[Any, Any] = vars(types.ModuleType)["__dict__"].__get__(module)
    for private in (True, False):
        for name in [name for name in held if isinstance(name, str) and name != "__builtins__"]:
            if (name.startswith("_") and not name.startswith("__")) == private:
                held[name] = None


def _spare_openssl() -> None:
    """Have OpenSSL leave its memory alone when a process ends (OPENSSL_init_crypto(3)).

    To free all that it has would copy the pages of it, at the end of every fork.
    """
    spec = importlib.util.find_spec("_hashlib")
    if spec is None or not spec.has_location or spec.origin is None:
        return
    # Loaded, and not imported yet: OpenSSL heeds this before its first use alone.
    init = getattr(ctypes.CDLL(spec.origin), "OPENSSL_init_crypto", None)
    if init is not None:
        init(ctypes.c_uint64(_OPENSSL_INIT_NO_ATEXIT), None)


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


def _found(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False  # Nor is the package that it would be in.


def _load_enclosure() -> Any:
    """The module that makes containers; it lies beside this file."""
    place = os.path.join(os.path.dirname(__file__), "enclosure.py")
    spec = importlib.util.spec_from_file_location("sandbox_enclosure", place)
    if spec is None or spec.loader is None:
        raise ImportError(place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _main() -> None:
    setup = json.loads(sys.argv[1])
    # The folder of this file is not the container's business.
    del sys.path[0]
    connection = socket.socket(fileno=setup["socket"])
    inside = "environment" in setup
    enclosure = None if inside else _load_enclosure()
    # They come first again when a command runs: what is imported now is not to be taken of them.
    for path in _python_path():
        if sys.path[0] == path:
            del sys.path[0]
    _spare_openssl()
    fault = _preload([*setup["preload"], *filter(_found, setup.get("preload_found", ()))])
    if fault:
        connection.send(fault.encode()[:4000])
        sys.exit(1)
    # Read once for all forks.
    _layout()
    gc.collect()
    gc.freeze()
    connection.send(b"ready")
    loaded = set(sys.modules)
    if inside:
        request = _serve_here(connection, setup["environment"], sys.argv[2])
    else:
        containers = _Containers(connection, setup["idle"], setup["kept"], enclosure)
        request = containers.serve()
    try:
        _run(request)
    except SystemExit as stop:
        code = _status(stop.code)
    else:
        code = 0
    _end(code, loaded)


if __name__ == "__main__":
    _main()
