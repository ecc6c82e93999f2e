"""KFP's Python components, run in a fork of the launcher instead of shells and an interpreter.

The SDK compiles a lightweight component to a shell that writes the function's source to a file and
runs `python3 -m kfp.dsl.executor_main` on it. When a command has that very shape the same is done
here without the shells: the module runs as `__main__`, with the same arguments, working
directory and variables, in a process of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import re
import runpy
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import MutableMapping
from typing import Any, NamedTuple

_SCRIPT = re.compile(
    r'program_path=\$\(mktemp -d\) printf "%s" "\$0" > "\$program_path/ephemeral_component\.py" '
    r"(?:_KFP_RUNTIME=true )?python3 -m kfp\.dsl\.executor_main "
    r'--component_module_path "\$program_path/ephemeral_component\.py" "\$@"'
)
_MODULE = "kfp.dsl.executor_main"
MEMORY = "/dev/shm"  # noqa: S108 - a folder of one's own is made in it


class PythonCall(NamedTuple):
    """A call of KFP's executor: the component's source, or None if the image has it."""

    source: str | None
    arguments: list[str]


class _Kept(NamedTuple):
    """KFP's executor: the module as it was imported, and what of it is run anew."""

    module: types.ModuleType
    spec: Any
    code: types.CodeType


_kept: _Kept | None = None


def recognise(words: list[str]) -> PythonCall | None:
    """Give the call that a command line amounts to, or None if it is any other command."""
    if words[:3] == ["python3", "-m", _MODULE]:
        return PythonCall(None, words[3:])
    shell = len(words) >= 4 and words[0] == "sh" and words[1] in ("-ec", "-c")
    if shell and _SCRIPT.fullmatch(" ".join(words[2].split())):
        return PythonCall(words[3], words[4:])
    return None


def clashes(folder: str) -> list[str]:
    """Give the loaded modules that the environment in `folder` has a version of its own of."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    own = {name.partition(".")[0] for name in names}
    inside = folder.rstrip("/") + "/"
    return [
        name
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in own
        and not str(getattr(module, "__file__", None) or inside).startswith(inside)
    ]


def reloadable(names: list[str]) -> bool:
    """True if all these modules are Python source: those can be imported anew."""
    files = [str(getattr(sys.modules[name], "__file__", None) or "") for name in names]
    return all(not file or file.endswith((".py", ".pyc")) for file in files)


def add_environment(folder: str, variables: MutableMapping[str, str]) -> None:
    """Let programs that get these variables find what is installed in a folder."""
    path = variables.get("PATH", os.defpath)
    variables["PATH"] = os.path.join(folder, "bin") + os.pathsep + path
    variables["PYTHONPATH"] = os.pathsep.join(
        each for each in (folder, variables.get("PYTHONPATH", "")) if each
    )


def execute(call: PythonCall, environment: str | None, note: str) -> None:
    """Run the call in this process and end it; never returns.

    Args:
        call: what to run.
        environment: the folder of installed packages, or None.
        note: the file that gets one line about an exception, for the launcher to report.
    """
    code = 1
    try:
        _prepare(environment)
        arguments = list(call.arguments)
        if call.source is not None:
            arguments = ["--component_module_path", write(call.source), *arguments]
        sys.argv = [_MODULE, *arguments]
        _run()
        code = 0
    except SystemExit as stop:
        code = _exit_code(stop.code)
    except BaseException as error:  # noqa: BLE001 - reported as the interpreter itself would
        _report(error, note)
    _end(code)


def keep() -> None:
    """Have KFP's executor at hand as it is to be run: for an interpreter that forks steps."""
    global _kept
    module = importlib.import_module(_MODULE)
    spec: Any = module.__spec__
    _kept = _Kept(module, spec, spec.loader.get_code(_MODULE))


def _run() -> None:
    module = sys.modules.pop(_MODULE, None)
    if _kept is None or _kept.module is not module:
        runpy.run_module(_MODULE, run_name="__main__", alter_sys=True)
        return
    # The same, less the finding and the reading.
    main, spec = types.ModuleType("__main__"), _kept.spec
    main.__dict__.update(
        __file__=spec.origin,
        __cached__=spec.cached,
        __loader__=spec.loader,
        __package__=spec.parent,
        __spec__=spec,
    )
    sys.modules["__main__"], sys.argv[0] = main, spec.origin
    exec(_kept.code, main.__dict__)  # noqa: S102 - KFP's own code


def write(source: str) -> str:
    """Write a component's source where `mktemp -d` would, or rather in memory; give its path.

    A disk takes longer for the folder, the file, and Python's own two beside them, than the
    function may take; and they are to be deleted, too.
    """
    if "TMPDIR" not in os.environ:
        # There may be no memory, or no room in it.
        with contextlib.suppress(OSError):
            # As `tempfile` does it, which takes longer to make a generator of names than all this.
            folder = os.path.join(MEMORY, f"tmp{os.urandom(8).hex()}")
            os.mkdir(folder, 0o700)
            return _write(source, folder)
    return _write(source, tempfile.mkdtemp())


def _write(source: str, folder: str) -> str:
    path = os.path.join(folder, "ephemeral_component.py")
    with open(path, "w", encoding="utf-8") as file:
        file.write(source)
    return path


def _prepare(environment: str | None) -> None:
    os.environ["_KFP_RUNTIME"] = "true"
    # As `python3 -m` has it: the working directory first.
    sys.path.insert(0, os.getcwd())
    if environment:
        import site

        # The component may start programs of its own: a notebook's kernel, `torchrun`.
        add_environment(environment, os.environ)
        before = list(sys.path)
        site.addsitedir(environment)
        added = [each for each in sys.path if each not in before]
        sys.path[:] = [sys.path[0]] + added + [each for each in sys.path[1:] if each not in added]
        for name in clashes(environment):
            del sys.modules[name]
        sys.path_importer_cache.clear()
    for stream in (sys.stdout, sys.stderr):
        # Lines reach the log as they are written.
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _report(error: BaseException, note: str) -> None:
    # The frames of the launcher and of runpy say nothing to the user.
    found = error.__traceback__
    kept = found
    while found is not None:
        name = found.tb_frame.f_code.co_filename
        if name.endswith(os.path.join("dsl", "executor_main.py")):
            kept = found
            break
        found = found.tb_next
    traceback.print_exception(type(error), error, kept)
    line = "".join(traceback.format_exception_only(type(error), error)).strip()
    with open(note, "w", encoding="utf-8") as file:
        file.write(line[-4000:])


def _exit_code(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, int):
        return value & 0xFF
    sys.stderr.write(f"{value}\n")
    return 1


def _end(code: int) -> None:
    """What the interpreter does at its end, without unwinding the frames that led here.

    Libraries write through C's own buffers, and have C's `exit` call them: so it is called too.
    """
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            import ctypes
        except ImportError:
            return
        # No other thread is at work in Python meanwhile.
        ctypes.PyDLL(None).exit(code)
    finally:
        os._exit(code)
