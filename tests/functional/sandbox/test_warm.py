"""A warm start must be indistinguishable from a cold one, but for the time it takes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from sandbox import warm
from sandbox.container import Container
from sandbox.images import ImageStore
from sandbox.spec import Image, Mount, Spec

from ..waiting import PATIENCE
from .conftest import PROJECT, Runner, finish, forget, wait_until_warm, write_project

STATE = """\
import json, os, signal, sys
print(sys.argv, sys.orig_argv, sys.path, sys.executable, sys.prefix, sys.flags)
print(__name__, globals().get("__file__"), __spec__ and __spec__.name)
print(os.getpid(), os.getppid(), os.getsid(0), os.getuid(), os.getgid(), os.getcwd(), os.umask(0))
print(sorted(os.environ.items()))
print(sorted(os.listdir("/proc/self/fd")), sorted(os.listdir("/")), sorted(os.listdir("/dev")))
print([p for p in os.listdir("/proc") if p.isdigit()], open("/etc/hosts").read())
keep = ("Name", "Uid", "Gid", "Cap", "NoNew", "Sig", "Shd", "NS", "Umask", "Threads")
print([line for line in open("/proc/self/status") if line.startswith(keep) and "SigQ" not in line])
# Bubblewrap covers parts of /proc with the host's, and with its options but for "ro". An overlay's
# say where it lies.
mounts = [line.split()[1:4] for line in open("/proc/mounts")]
mounts = [(place, kind, ",".join(each for each in options.split(",") if "dir=" not in each))
          for place, kind, options in mounts]
print(sorted({(place, kind, options[:2] if place.startswith("/proc/") else options)
              for place, kind, options in mounts if not place.startswith("/proc/sys/")}))
print([signal.getsignal(n) for n in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE)])
print(sys.stdout.encoding, sys.stdout.errors, sys.stderr.errors, sys.stdin.read())
print(open("/proc/self/cmdline").read(), sorted(open("/proc/self/environ").read().split("\\0")))
print(open("/proc/sys/kernel/hostname").read(), sys.modules["__main__"].__dict__["json"] is json)
"""


def script(tmp_path: Path, name: str, text: str) -> Mount:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return Mount(path, f"/app/{name}")


def run(runner: Runner, image: Image, *command: str, **options: object) -> tuple[object, ...]:
    """Run a command warm and cold; what came out must be the same."""
    results = []
    for is_warm in (True, False):
        container = runner.start(*command, image=image, warm=is_warm, **options)
        ended = finish(container)
        # Bubblewrap notes more namespaces than the warm interpreter's monitor does.
        cold = "ipc-namespace" in (container.directory / "status").read_text()
        assert cold != is_warm
        results.append((ended.code, ended.reason, runner.output(container)))
    assert results[0] == results[1]
    return results[0]


pytestmark = pytest.mark.usefixtures("no_cold_start")


def test_the_state_of_a_script(runner: Runner, warm_image: Image, tmp_path: Path) -> None:
    code, _, output = run(
        runner,
        warm_image,
        "python",
        "/app/state.py",
        "--flag",
        "a b",
        mounts=(script(tmp_path, "state.py", STATE),),
        env={"A": "1", "PYTHONPATH": "/lib/one:/lib/two"},
        hostname="step-0",
        cwd="/srv",
    )

    assert code == 0, output
    assert "/lib/one" in str(output)


@pytest.mark.parametrize(
    "command", [("-m", "app"), ("/app",), ("-c", STATE, "x"), ("-m", "app.sub")]
)
def test_the_state_of_a_module(
    runner: Runner, warm_image: Image, tmp_path: Path, command: tuple[str, ...]
) -> None:
    for name in ("__init__.py", "__main__.py", "sub.py"):
        script(tmp_path / "app", name, "" if name == "__init__.py" else STATE)

    code, _, output = run(
        runner,
        warm_image,
        "python3",
        *command,
        mounts=(Mount(tmp_path / "app", "/app", read_only=True),),
        cwd="/",
    )

    assert code == 0, output


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1 / 0", 1),
        ("raise SystemExit", 0),
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('told')", 1),
        ("raise KeyboardInterrupt", 130),
        (
            "def f(): raise ValueError\ntry: f()\nexcept ValueError as e: raise KeyError from e",
            1,
        ),
        ("syntax error", 1),
        ("import os; os._exit(9)", 9),
        ("import os; os.kill(1, 9); print('alive')", 0),
        ("print('no newline', end='')", 0),
        ("open('/tmp/x', 'w').write('kept'); f = open('/app/out', 'w'); f.write('kept')", 0),
        ("import atexit; atexit.register(print, 'bye')", 0),
        (
            "import atexit\nclass A:\n def __call__(self): 1 / 0\n def __repr__(s): return 'A'\n"
            "atexit.register(A())",
            0,
        ),
        ("import ctypes; ctypes.CDLL(None).printf(b'of C')", 0),
        ("class A:\n def __del__(self): print(1)\na, _b, c = A(), [A()], {}\nc[0] = c, A()", 0),
        (
            "import os\nclass A:\n def __del__(s): print(os.getpid(), b)\na = A(); b = 5",
            0,
        ),
        ("import wave\nclass A:\n def __del__(self): print('gone')\nwave.mine = A()", 0),
        (
            "import sys, types\nclass A:\n __slots__ = ()\n __class__ = types.ModuleType\n"
            "sys.modules['a'] = A()",
            0,
        ),
        (
            "import sys, types\nclass A(types.ModuleType):\n __dict__ = property(print)\n"
            "sys.modules['a'] = sys.a = A('a'); globals()[5] = 6",
            0,
        ),
        ("class A:\n @property\n def __class__(self): 1 / 0\na = [A()]; a.append(a)", 0),
        ("import weakref\nclass A: pass\na = A(); weakref.finalize(a, print, 'gone')", 0),
        (
            "import threading, time\ndef work():\n while True: time.sleep(0.001)\n"
            "class A:\n def __del__(self): print('gone')\na = A()\n"
            "threading.Thread(target=work, daemon=True).start()",
            0,
        ),
        ("raise SystemExit(-1)", 255),
        ("raise SystemExit(2 ** 70)", 255),
        ("import sys; sys.stdout.close(); sys.stderr = None", 0),
        ("import os, sys; print('lost'); os.close(1); os.open('/dev/full', os.O_WRONLY)", 120),
        ("import threading; threading.Timer(0.05, print, ['late']).start()", 0),
        ("import sys; sys.excepthook = lambda *a: print('hook'); 1/0", 1),
        ("import os\nif os.fork() == 0: os._exit(3)\nprint(os.wait()[1])", 0),
        ("import warnings; warnings.warn('w')", 0),
        ("import decimal, json; print(decimal.Decimal('0.1'), json.dumps({'a': 1}))", 0),
    ],
)
def test_ends(runner: Runner, warm_image: Image, tmp_path: Path, text: str, code: int) -> None:
    result = (
        run(runner, warm_image, "python", "/app/x.py", mounts=(script(tmp_path, "x.py", text),))
        if "/app/out" not in text
        else run(runner, warm_image, "python", "-c", text.replace("/app/out", "/tmp/out"))
    )

    assert result[0] == code, result


@pytest.mark.parametrize("kind", ["w", "wb"])
def test_what_was_written_to_a_file_that_is_still_open_is_kept(
    runner: Runner, warm_image: Image, tmp_path: Path, kind: str
) -> None:
    text = "'kept'" if kind == "w" else "b'kept'"
    code = f"""\
        import builtins, sys
        for name in "abc":
            file = open(f"/out/{{name}}", "{kind}")
            file.write({text})
            if name == "b":
                sys.kept = file  # In a module that was there before.
            elif name == "c":
                builtins.own = [file]
                builtins.own.append(builtins.own)
    """
    out = tmp_path / "out"
    out.mkdir()
    mounts = (script(tmp_path, "x.py", code), Mount(out, "/out"))
    container = runner.start("python", "/app/x.py", image=warm_image, mounts=mounts)
    assert finish(container).code == 0, runner.output(container)
    assert {path.name: path.read_text() for path in out.iterdir()} == dict.fromkeys("abc", "kept")


def test_multiprocessing_by_spawn(runner: Runner, warm_image: Image, tmp_path: Path) -> None:
    text = """\
        import multiprocessing
        def double(x):
            return 2 * x
        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(double, [1, 2]))
        """
    result = run(
        runner, warm_image, "python", "/app/x.py", mounts=(script(tmp_path, "x.py", text),)
    )

    assert result == (0, "Completed", "[2, 4]\n")


@pytest.mark.parametrize("command", [("/none.py",), ("-m", "none"), ("-m", "json.none")])
def test_what_is_not_there(runner: Runner, warm_image: Image, command: tuple[str, ...]) -> None:
    code, _, output = run(runner, warm_image, "python", *command)

    assert code != 0
    assert "none" in str(output)


def test_two_forks_do_not_share_their_randomness(runner: Runner, warm_image: Image) -> None:
    code = "import random, uuid; print(random.random(), uuid.uuid4())"
    outputs = set()
    for _ in range(2):
        container = runner.start("python", "-c", code, image=warm_image, warm=True)
        finish(container)
        outputs.add(runner.output(container))

    assert len(outputs) == 2


def test_nothing_of_the_host_is_in_reach(runner: Runner, warm_image: Image) -> None:
    code = """\
import os
print(os.path.lexists("/host"), os.path.lexists("/work"), os.listdir("/home"))
for call in (lambda: os.listdir("/host"), lambda: os.chroot("/proc/1/root"), lambda: os.setuid(1)):
    try:
        call()
        print("could")
    except OSError as error:
        print(error.strerror)
print([os.readlink(f"/proc/self/fd/{n}") for n in (0, 1, 2)][0])
"""
    container = runner.start("python", "-c", code, image=warm_image, warm=True)
    finish(container)

    lines = runner.output(container).splitlines()
    assert lines[0] == "False False []"
    assert "could" not in lines


def test_signals_and_adoption(runner: Runner, warm_image: Image) -> None:
    code = (
        "import signal, sys, time\nsignal.signal(15, lambda *a: sys.exit(4))\n"
        "print('up', flush=True)\nwhile True: time.sleep(1)"
    )
    container = runner.start("python", "-c", code, image=warm_image, warm=True)
    limit = time.monotonic() + PATIENCE
    while not runner.output(container):
        assert time.monotonic() < limit
        time.sleep(0.01)
    forget(container)
    adopted = Container.adopt(container.directory)
    assert adopted is not None
    assert adopted.pid == container.pid

    adopted.signal(signal.SIGTERM)

    assert finish(adopted).code == 4


def test_containers_outlive_their_interpreter(runner: Runner, warm_image: Image) -> None:
    code = "import time; print('up', flush=True); time.sleep(0.5); print('done')"
    container = runner.start("python", "-c", code, image=warm_image, warm=True)

    warm.close()

    ended = finish(container)
    assert (ended.code, runner.output(container)) == (0, "up\ndone\n")


def test_closing_does_not_wait_for_imports(store: ImageStore, tmp_path: Path) -> None:
    project = PROJECT.replace('["json", "decimal"]', '["slow"]').replace("probe", "slow")
    folder = write_project(tmp_path / "image", project)
    (folder / "uv.lock").write_text((folder / "uv.lock").read_text().replace("probe", "slow"))
    image = store.build(folder)
    site = next(image.path.glob("lib/python3*/site-packages"))
    (site / "slow.py").write_text("import time\ntime.sleep(1000)\n")
    warm.prestart(image)
    assert not warm.ready(image)

    warm.close()

    assert not warm._pool._interpreters


def test_an_interpreter_that_was_killed_is_replaced(
    runner: Runner,
    warm_image: Image,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interpreter = warm._pool.find(warm_image)
    assert interpreter is not None
    os.killpg(interpreter._process.pid, signal.SIGKILL)
    interpreter._process.wait()

    container = runner.start("python", "-c", "print(1)", image=warm_image, warm=True)
    assert finish(container).code == 0
    assert "no warm start" in caplog.text
    caplog.clear()

    monkeypatch.setattr(warm, "_AGAIN", 0)
    warm.prestart(warm_image)
    wait_until_warm(warm_image)
    second = runner.start("python", "-c", "print(2)", image=warm_image, warm=True)
    finish(second)
    assert runner.output(second) == "2\n"


def test_a_setup_that_fails_warm_is_judged_cold(
    runner: Runner,
    warm_image: Image,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(step: object) -> object:
        return {
            "kind": "bind",
            "source": "/none",
            "target": "/x",
            "read_only": True,
            "device": False,
        }

    monkeypatch.setattr(warm, "_step", fail)
    container = runner.start("python", "-c", "print(1)", image=warm_image, warm=True)

    assert finish(container).code == 0
    assert runner.output(container) == "1\n"
    assert "starts cold: " in caplog.text
    caplog.clear()


def test_one_whose_monitor_cannot_write_it_down_is_started_cold(
    runner: Runner,
    warm_image: Image,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forked = warm._Interpreter.fork

    def fork(self: Any, asked: str, request: Any, status: int, output: int) -> Any:
        del status
        with Path(os.devnull).open("rb") as read_only:
            return forked(self, asked, request, read_only.fileno(), output)

    monkeypatch.setattr(warm._Interpreter, "fork", fork)
    container = runner.start("python", "-c", "print(1)", image=warm_image, warm=True)

    assert finish(container).code == 0
    # Once: what nobody could find again has not run.
    assert runner.output(container) == "1\n"
    assert "starts cold: " in caplog.text
    assert "its monitor" in caplog.text
    caplog.clear()


@pytest.mark.parametrize(
    ("module", "reason"),
    [("no_such_module", "No module named"), ("this_starts", "starts threads")],
)
def test_modules_that_cannot_be_preloaded(
    store: ImageStore,
    runner: Runner,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    module: str,
    reason: str,
) -> None:
    project = PROJECT.replace('["json", "decimal"]', f'["{module}"]').replace(
        "probe", module.replace("_", "-")
    )
    folder = write_project(tmp_path / "image", project)
    (folder / "uv.lock").write_text(
        (folder / "uv.lock").read_text().replace("probe", module.replace("_", "-"))
    )
    image = store.build(folder)
    site = next(image.path.glob("lib/python3*/site-packages"))
    (site / "this_starts.py").write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=[60], daemon=True).start()\n"
    )
    interpreter = warm._pool.find(image)
    assert interpreter is not None
    limit = time.monotonic() + PATIENCE
    while interpreter.failed_at is None:
        interpreter.ready()
        assert time.monotonic() < limit
        time.sleep(0.01)

    container = runner.start("python", "-c", "print(1)", image=image, warm=True)
    assert finish(container).code == 0
    assert reason in caplog.text
    caplog.clear()
    warm.close()


OWNER = textwrap.dedent(
    """\
    import sys, time
    from pathlib import Path
    from sandbox import warm
    from sandbox.container import Container
    from sandbox.images import ImageStore
    from sandbox.spec import Mount, Spec
    folder, store, reference = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    image = ImageStore(store).get(reference)
    while not warm.ready(image):
        time.sleep(0.005)
    print("go", flush=True)
    code = "open('/shared/ran', 'a').write('ran\\\\n'); import time; time.sleep(0.3)"
    Container.start(
        folder / "c",
        Spec(
            ("python", "-c", code),
            image=image,
            mounts=(Mount(folder / "shared", "/shared"),),
            output=folder / "log",
            warm=True,
        ),
    )
    print("started", flush=True)
    sys.stdin.read()
    """
)


@pytest.mark.parametrize("delay_ms", [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 20])
def test_its_owner_killed_at_any_moment(
    tmp_path: Path, store: ImageStore, image: Image, delay_ms: int
) -> None:
    (tmp_path / "shared").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), str(store.root), image.reference],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"go\n"
        time.sleep(delay_ms / 1000)
        owner.kill()

    adopted = Container.adopt(tmp_path / "c")

    if adopted is None:
        spec = Spec(
            ("sh", "-c", "echo ran >> /shared/ran"),
            mounts=(Mount(tmp_path / "shared", "/shared"),),
        )
        adopted = Container.start(tmp_path / "c", spec)
    ended = finish(adopted)
    assert (ended.code, ended.reason) == (0, "Completed")
    assert (tmp_path / "shared/ran").read_text() == "ran\n"
