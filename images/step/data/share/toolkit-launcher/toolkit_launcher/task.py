"""One attempt of one task: claim its folder, run its command, record how it ended.

The input file is the engine's; it is outside the folder that the task may write to:

    {"version": "1", "folder": "/minio/.../SALT",            the attempt's own folder, writable
     "executor_input": {...},                                KFP's ExecutorInput
     "output_types": {"accuracy": "NUMBER_DOUBLE", ...},
     "command": [...],                                       with placeholders
     "constants": {".pipeline_job_uuid": "...", ...},
     "written_inputs": ["x", ...],                           values from the spec itself
     "environment": "/toolkit/environment" or null}          installed packages

The record, `result.json` in the folder, is written last and whole:

    {"version": "1", "exit_code": 0, "message": "", "parameters": {...},
     "artifacts": {NAME: [{"name", "uri", "metadata", "digest"}]}}     digest: see `content`
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import Any

from . import files, outputs, placeholders, python_call

RESULT = "result.json"
CLAIM = ".started"
NOTE = ".error"
MAX_ARGUMENT = 131071
"""Linux's bound on one argument, in bytes (MAX_ARG_STRLEN less its end)."""

_FORWARDED = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT),
    *(signal.SIGUSR1, signal.SIGUSR2),
)
_COLD = "TOOLKIT_LAUNCHER_COLD"
_LINGERING = 5.0
"""Seconds for threads to go that have ended as far as Python is concerned."""


def run(path: str, entry: str) -> int:
    """Run the attempt that an input file describes and give the exit code for the pod.

    Args:
        path: the input file.
        entry: this launcher's `__main__.py`, to start it anew.
    """
    task = files.read_json(path)
    folder = task["folder"]
    environment = task.get("environment")
    if environment and _COLD not in os.environ:
        names = python_call.clashes(environment)
        if not python_call.reloadable(names):
            # A warm interpreter holds compiled modules that the environment replaces.
            os.environ[_COLD] = "1"
            os.execv(sys.executable, [sys.executable, entry, "run", path])  # noqa: S606 - ourselves
    os.environ.pop(_COLD, None)
    try:
        claim = os.open(os.path.join(folder, CLAIM), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.close(claim)
    except FileExistsError:
        sys.stderr.write("this attempt was started before; it does not run twice\n")
        return 125
    result = attempt(task)
    outputs.note_digests(folder, result["artifacts"])
    files.write_json(os.path.join(folder, RESULT), result)
    return int(result["exit_code"])


def attempt(task: dict[str, Any]) -> dict[str, Any]:
    """Run a claimed attempt and give the record of how it ended."""
    return record(*_attempt(task, task["folder"], task.get("environment")))


def record(code: int, message: str, found: dict[str, Any]) -> dict[str, Any]:
    """Give the record of an attempt."""
    return {
        "version": "1",
        "exit_code": code,
        "message": message,
        "parameters": found["parameters"],
        "artifacts": found["artifacts"],
    }


def failed(message: str) -> tuple[int, str, dict[str, Any]]:
    """Print why an attempt failed before or after its command; give what its record holds."""
    sys.stderr.write(message + "\n")
    return 1, message, _nothing()


def _nothing() -> dict[str, Any]:
    return {"parameters": {}, "artifacts": {}}


def _attempt(
    task: dict[str, Any], folder: str, environment: str | None
) -> tuple[int, str, dict[str, Any]]:
    executor_input = task["executor_input"]
    try:
        resolver = placeholders.Resolver(executor_input, task["constants"])
        resolver.resolve_inputs(task["written_inputs"])
        words = resolver.arguments(task["command"])
    except placeholders.PlaceholderError as error:
        return failed(str(error))
    _make_folders(executor_input["outputs"])
    note = os.path.join(folder, NOTE)
    call = python_call.recognise(words)
    if call is not None:
        code = _fork(call, environment, note)
    else:
        try:
            code = _spawn(words, environment)
        except (OSError, ValueError) as error:
            return failed(f"the command cannot be started: {error}")
    if code != 0:
        return code, _message(note, code), _nothing()
    try:
        return 0, "", outputs.collect(task)
    except outputs.OutputError as error:
        return failed(str(error))


def _message(note: str, code: int) -> str:
    try:
        with open(note, encoding="utf-8", errors="replace") as file:
            return file.read(4000)
    except OSError:
        pass
    if code > 128:
        try:
            return f"the command was killed by {signal.Signals(code - 128).name}"
        except ValueError:
            pass
    return f"the command ended with exit code {code}"


def _make_folders(spec: dict[str, Any]) -> None:
    paths = [each["outputFile"] for each in spec.get("parameters", {}).values()]
    for listed in spec.get("artifacts", {}).values():
        paths += [placeholders.local_path(each["uri"]) for each in listed["artifacts"]]
    for path in paths:
        os.makedirs(os.path.dirname(path), exist_ok=True)


def _fork(call: python_call.PythonCall, environment: str | None, note: str) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    # Those that come before there is a child, and before this process hands them on, wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
    _be_alone()
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
        python_call.execute(call, environment, note)
    with _Forwarding() as forwarding:
        forwarding.start(child)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
        return _wait(child)


def _be_alone() -> None:
    """Wait until this process has one thread.

    One that was joined is still taking itself apart, under locks of OpenSSL's, say. A fork in that
    moment has the locks and not the thread that lets go of them, and hangs at its end or earlier.
    """
    limit = time.monotonic() + _LINGERING
    # The folder has a link for each thread, and two of its own.
    while os.stat("/proc/self/task").st_nlink > 3 and time.monotonic() < limit:
        time.sleep(0.001)


def _spawn(words: list[str], environment: str | None) -> int:
    for number, word in enumerate(words):
        size = len(os.fsencode(word))
        if size > MAX_ARGUMENT:
            raise ValueError(
                f"word {number} of it has {size} bytes and the system allows {MAX_ARGUMENT}: "
                "pass large values as artifacts"
            )
    env = dict(os.environ)
    if environment:
        python_call.add_environment(environment, env)
    # Popen reports a missing program here; its own wait is not used, since this process may be the
    # one that inherits orphans and reaps whatever ends.
    with _Forwarding() as forwarding:
        process = subprocess.Popen(words, env=env)
        process.returncode = 0
        forwarding.start(process.pid)
        return _wait(process.pid)


class _Forwarding:
    """Signals are handed on to the child; those that come before there is one, once there is."""

    def __init__(self) -> None:
        self._child = 0
        self._early: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Forwarding:
        for number in _FORWARDED:
            self._before[number] = signal.signal(number, self._forward)
        return self

    def __exit__(self, *error: object) -> None:
        self.restore()

    def start(self, child: int) -> None:
        """From now on they go to this process."""
        self._child = child
        for number in self._early:
            self._send(number)

    def restore(self) -> None:
        """Put back what handled them before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _forward(self, number: int, frame: Any) -> None:
        del frame
        if self._child:
            self._send(number)
        else:
            self._early.append(number)

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, number)


def _wait(child: int) -> int:
    """Wait for a child and reap orphans; give its exit code."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            break
    if os.WIFSIGNALED(status):
        return 128 + os.WTERMSIG(status)
    return os.WEXITSTATUS(status)
