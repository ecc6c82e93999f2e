"""A hook that starts warm must see, say and leave what one that starts cold does."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import textwrap
import time
from pathlib import Path

import pytest

from minijuju import archive, execution, runtime, warm
from minijuju.charm import Charm
from sandbox import record, root
from sandbox.images import ImageStore
from sandbox.process import Identity

from ..waiting import pause

ANY = Path(__file__).parents[2] / "charms" / "any"
PATIENCE = 60

# Everything that a process can easily learn about itself, but for numbers of processes, mounts
# and moments.
PROBE = """\
import json, locale, os, resource, signal, socket, sys, threading, time
import helper
import ops, yaml

def lines(path, *prefixes):
    with open(path) as stream:
        return [line for line in stream if not prefixes or line.startswith(prefixes)]

def descriptors():
    with os.scandir("/proc/self/fd") as entries:
        found = {entry.name: os.readlink(entry.path) for entry in entries
                 if os.path.exists(entry.path)}
    kinds = {name: target.partition(":")[0] for name, target in found.items()}
    return {name: kind.replace(f"/{os.getpid()}/", "/self/") for name, kind in kinds.items()}

def relation(number):
    return {os.getpid(): "own", os.getppid(): "parent's", 0: "nobody's"}.get(number, "other")

mounts = [line.split() for line in lines("/proc/self/mountinfo")]
main = sys.modules["__main__"]
print(json.dumps({
    "argv": [sys.argv, sys.orig_argv, lines("/proc/self/cmdline")],
    "environment": dict(sorted(os.environ.items())),
    "proc environment": sorted("".join(lines("/proc/self/environ")).split("\\0")),
    "place": [os.getcwd(), os.listdir("/"), sorted(os.listdir("/dev")), os.listdir("/dev/shm")],
    "mounts": [[*one[3:6], *one[one.index("-") + 1:]] for one in mounts],
    "names": [socket.gethostname(), lines("/etc/hosts"), lines("/etc/hostname")],
    "path": sys.path,
    "interpreter": [sys.executable, sys.prefix, sys.base_prefix, sys.version, str(sys.flags),
                    sys.warnoptions, sys._xoptions, sys.dont_write_bytecode,
                    sys.getrecursionlimit(), os.readlink("/proc/self/exe")],
    "finders": [str(type(one)) + getattr(one, "__name__", "") for one in sys.meta_path],
    "streams": [[one.encoding, one.errors, one.line_buffering, one.write_through, one.name,
                 one.isatty(), one.mode] for one in (sys.stdin, sys.stdout, sys.stderr)],
    "input": sys.stdin.read(),
    "descriptors": descriptors(),
    "identity": [os.getuid(), os.getgid(), os.getgroups(), relation(os.getpgrp()),
                 relation(os.getsid(0)), relation(os.getppid()), os.getppid()],
    "status": lines("/proc/self/status", "Name", "Umask", "Uid", "Gid", "Groups", "Cap", "NoNew",
                    "Seccomp", "SigBlk", "SigIgn", "SigCgt", "Threads", "CoreDumping"),
    "limits": lines("/proc/self/limits"),
    "others": [lines("/proc/self/cgroup"), lines("/proc/self/oom_score_adj"),
               len([name for name in os.listdir("/proc") if name.isdigit()])],
    "signals": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
    "threads": [threading.active_count(), threading.current_thread().name,
                threading.main_thread() is threading.current_thread()],
    "locale": [locale.getlocale(), sys.getfilesystemencoding(), time.tzname],
    "main": [__name__, __file__, __spec__, __package__, str(type(__loader__)), __builtins__ is
             sys.modules["builtins"], __cached__, sorted(vars(main)), main.json is json],
    "modules": [ops.__file__, ops.__version__, yaml.__file__, helper.__file__, helper.COUNT],
    "site": [sys.modules["site"].PREFIXES, sys.modules["site"].ENABLE_USER_SITE],
}, default=str))
helper.COUNT += 1
"""
HELPER = "COUNT = 1\n"
# What one hook does that another might notice, by the hook's name.
DEEDS = """\
import os, signal, subprocess, sys, time
import ops
name = os.environ["JUJU_DISPATCH_PATH"].rpartition("/")[2]
if name == "say":
    print("to stdout"); print("to stderr", file=sys.stderr); print("cut", end="")
elif name == "bytes":
    sys.stdout.buffer.write(b"\\xc3\\xa9 \\xff\\n")
elif name == "fail":
    sys.exit(7)
elif name == "told":
    sys.exit("told to")
elif name == "raise":
    def inner():
        raise KeyError("x")
    try:
        inner()
    except KeyError as error:
        raise ValueError("wrong") from error
elif name == "interrupt":
    raise KeyboardInterrupt
elif name == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
elif name == "terminate":
    os.kill(os.getpid(), signal.SIGTERM)
elif name == "group":
    os.killpg(0, signal.SIGUSR1)
    print("alive")
elif name == "exit":
    os._exit(9)
elif name == "pipe":
    os.close(1)
    print("nowhere")
elif name == "thread":
    import threading
    threading.Thread(target=lambda: (time.sleep(0.2), print("later"))).start()
elif name == "atexit":
    import atexit
    atexit.register(print, "at last")
elif name == "umask":
    os.umask(0o077)
    os.chdir("/tmp")
    os.environ["LEFT"] = "behind"
    sys.modules["helper"] = None
    sys.path.insert(0, "/nowhere")
    ops.__version__ = "0"
elif name == "leave":
    subprocess.Popen(["sleep", "60441"], start_new_session=True)
elif name == "shm":
    open("/dev/shm/left", "w").close()
elif name == "look":
    import helper
    print(os.getcwd(), oct(os.umask(0o22)), os.environ.get("LEFT"), helper.COUNT, sys.path[0],
          ops.__version__, signal.getsignal(signal.SIGTERM),
          signal.pthread_sigmask(signal.SIG_BLOCK, ()))
elif name == "tmp":
    open("/tmp/left", "w").close()
elif name == "wipe":
    if os.path.exists("/tmp/left"):
        os.unlink("/tmp/left")
elif name == "left":
    print(sorted(os.listdir("/tmp")), sorted(os.listdir("/dev/shm")))
elif name == "hang":
    subprocess.run(["sleep", "60442"])
elif name == "many":
    for _ in range(200):
        try:
            subprocess.Popen(["sleep", "60443"])
        except BlockingIOError:
            break
    signal.pause()
elif name == "folder":
    os.mkdir("/dev/left")
elif name == "shared":
    import ctypes
    assert ctypes.CDLL(None).shmget(4711, 4096, 0o1600) >= 0
elif name == "segments":
    print(len(open("/proc/sysvipc/shm").readlines()), os.path.exists("/dev/left"))
elif name == "children":
    print(sorted(name for name in os.listdir("/proc") if name.isdigit() and int(name) > 1
                 and int(name) != os.getpid()))
elif name == "signals":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return archive.CharmStore(tmp_path_factory.mktemp("charms"), ImageStore())


@pytest.fixture
async def make(store, tmp_path, request):
    """A pod of a charm with ops and the given sources; it has run nothing yet."""
    worker = getattr(request.config, "workerinput", {}).get("workerid", "gw0")
    made = []

    async def make(sources, **files):
        source = tmp_path / "source"
        (source / "src").mkdir(parents=True)
        (source / "charmcraft.yaml").write_text("name: probe\nsummary: s\nbase: ubuntu@24.04\n")
        for name in ("pyproject.toml", "uv.lock"):
            shutil.copy(ANY / name, source / name)
        for name, text in sources.items():
            (source / name).parent.mkdir(exist_ok=True, parents=True)
            (source / name).write_text(text)
            (source / name).chmod(0o755)
        unpacked = store.add(source)
        spec = runtime.UnitSpec(
            model="m",
            model_uuid="u",
            application="probe",
            unit="probe/0",
            charm_path=unpacked.path,
            charm=Charm.load(unpacked.path, accepted=True),
            images={},
            storages=(),
            trusted=False,
            address=f"127.242.{int(worker.removeprefix('gw'))}.1",
            service_address="127.242.128.1",
            hosts={"127.242.128.1": ("probe", "probe.m")},
        )
        hooks = tmp_path / "hooks"
        hooks.mkdir(mode=0o700)
        pod = Pod(runtime.UnitRuntime(tmp_path / "unit", spec, binary=Path("/none")), hooks)
        made.append(pod)
        await pod.runtime.start()
        return pod

    yield make
    for pod in made:
        # Not removed: see `pods` in test_runtime_pod.py.
        await pod.runtime.stop()


class Pod:
    def __init__(self, runtime, hooks):
        self.runtime = runtime
        self.hooks = hooks
        self.cold = []

    async def run(self, name, *, warm, **env):
        """Run a hook; its exit code and what it printed."""
        output = {"stdout": [], "stderr": []}
        env = {"JUJU_DISPATCH_PATH": f"hooks/{name}", "JUJU_HOOK_NAME": name, **env}
        async with asyncio.timeout(PATIENCE):
            code = await self.runtime.dispatch(
                env,
                socket_folder=self.hooks,
                on_output=lambda stream, line: output[stream].append(line),
                on_cold=self.cold.append if warm else None,
            )
        return code, output

    @property
    def interpreter(self):
        return self.runtime._warm


async def test_probe(make):
    pod = await make({"src/charm.py": PROBE, "src/helper.py": HELPER})
    seen = {}
    for kind in ("cold", "warm", "again"):
        code, output = await pod.run("config-changed", warm=kind != "cold", JUJU_X="1")
        assert code == 0, (kind, "\n".join(output["stderr"]))
        assert output["stderr"] == []
        seen[kind] = json.loads(output["stdout"][0])
    assert pod.interpreter.alive
    for kind in ("warm", "again"):
        other = {key: value for key, value in seen[kind].items() if value != seen["cold"][key]}
        assert other == {key: seen["cold"][key] for key in other}


async def test_what_its_environment_has_of_common_libraries(make, monkeypatch):
    monkeypatch.setattr(warm, "COMMON", ("no_such_library.part", "wave.none", "wave"))
    charm = "import sys; print('wave' in sys.modules); import wave; print(wave.__name__)"
    pod = await make({"src/charm.py": charm})
    for kind, before in ((False, "False"), (True, "True")):
        code, output = await pod.run("start", warm=kind)
        assert (code, output["stdout"]) == (0, [before, "wave"])
    assert pod.cold == []


ORDER = (
    *(
        "wipe",
        "say",
        "bytes",
        "fail",
        "told",
        "raise",
        "interrupt",
        "kill",
        "terminate",
        "group",
        "exit",
    ),
    *("pipe", "thread", "atexit", "umask", "look", "signals", "look", "leave", "children"),
    *("shm", "left", "tmp", "left", "shared", "segments", "folder", "segments", "nothing"),
)


async def test_whatever_a_hook_does(make):
    """One after the other, so that each finds what the one before has left."""
    sources = {"src/charm.py": DEEDS, "src/helper.py": HELPER}
    pod = await make(sources)
    seen = {}
    for kind in (False, True):
        seen[kind] = []
        for name in ORDER:
            seen[kind].append((name, await pod.run(name, warm=kind)))
            assert processes("60441") == []
    assert seen[True] == seen[False]
    codes = {name: code for name, (code, _) in seen[True]}
    expected = {"fail": 7, "told": 1, "raise": 1, "interrupt": 130, "kill": 137}
    expected |= {"terminate": 143, "group": 138, "exit": 9, "pipe": 120}
    assert {name: code for name, code in codes.items() if code} == expected


async def until(condition):
    begun = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(pause(time.monotonic() - begun))


def processes(text):
    """The processes that sleep for so many seconds."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes() == f"sleep\0{text}\0".encode():
                found.append(int(path.parent.name))
    return found


@pytest.fixture
async def pod(make):
    return await make({"src/charm.py": DEEDS, "src/helper.py": HELPER})


def ended(interpreter):
    """Whether nothing of an interpreter is left."""
    return interpreter not in warm._alive and interpreter._socket.fileno() < 0


async def test_an_interpreter_serves_until_what_only_a_new_container_lacks_is_left(pod):
    await pod.run("say", warm=True)
    first = pod.interpreter
    for name in ("leave", "umask", "tmp"):
        await pod.run(name, warm=True)
        assert pod.interpreter is first
    for name in ("shm", "shared", "folder"):
        await pod.run(name, warm=True)
        last = pod.interpreter
        assert not last.alive
        await pod.run("say", warm=True)
        assert pod.interpreter is not last


async def test_cancelling_kills_a_hook_with_all_its_children(pod):
    for _ in range(2):
        task = asyncio.create_task(pod.run("hang", warm=True))
        await until(lambda: processes("60442"))
        interpreter = pod.interpreter
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not processes("60442"))
        assert ended(interpreter)
    assert (await pod.run("fail", warm=True))[0] == 7


async def test_a_hook_with_too_many_processes_is_killed_with_them(pod):
    pod.runtime.set_processes(64)
    await pod.run("say", warm=True)
    interpreter = pod.interpreter
    with pytest.raises(execution.CrowdedError, match="has reached 64 processes"):
        await pod.run("many", warm=True)
    assert ended(interpreter)
    await until(lambda: not processes("60443"))
    assert (await pod.run("fail", warm=True))[0] == 7


@pytest.mark.parametrize("whole", [True, False])
async def test_an_interpreter_that_is_killed_takes_its_hook_along(pod, whole):
    task = asyncio.create_task(pod.run("hang", warm=True))
    await until(lambda: processes("60442"))
    process = pod.interpreter._process.pid
    if whole:
        os.kill(process, signal.SIGKILL)
    else:
        (inner,) = record.children(process)
        os.kill(inner, signal.SIGKILL)
    assert (await asyncio.wait_for(task, PATIENCE))[0] == 137
    await until(lambda: not processes("60442"))
    assert (await pod.run("fail", warm=True))[0] == 7


async def test_an_interpreter_that_went_away_between_hooks_is_replaced(pod):
    await pod.run("say", warm=True)
    interpreter = pod.interpreter
    process = interpreter._process.pid
    inside = [Identity.of(pid) for pid in record.children(process)]
    os.kill(process, signal.SIGKILL)
    # What is inside goes a moment later, and would take along a hook that began meanwhile.
    await until(lambda: not any(each and each.alive() for each in inside))
    # That may be seen before the hook is asked for, or when.
    assert (await pod.run("fail", warm=True))[0] == 7
    assert ended(interpreter)


async def test_it_ends_when_it_is_not_used(pod, monkeypatch):
    monkeypatch.setattr(warm, "IDLE", 0.05)
    await pod.run("say", warm=True)
    interpreter = pod.interpreter
    await until(lambda: ended(interpreter))
    assert (await pod.run("fail", warm=True))[0] == 7


async def test_one_whose_time_is_up_as_a_hook_begins_serves_it(pod, monkeypatch):
    monkeypatch.setattr(warm, "IDLE", 0.05)
    await pod.run("say", warm=True)
    first, renew = pod.interpreter, root.renew

    def held_up(*arguments):
        time.sleep(0.2)
        renew(*arguments)

    monkeypatch.setattr(root, "renew", held_up)
    assert first.alive
    assert (await pod.run("fail", warm=True))[0] == 7
    assert pod.interpreter is first
    assert pod.cold == []


async def test_a_hook_of_its_own_starts_none(pod):
    await pod.run("update-status", warm=True)
    assert pod.interpreter is None
    await pod.run("say", warm=True)
    first = pod.interpreter
    await pod.run("update-status", warm=True)
    assert pod.interpreter is first


async def test_turning_it_off_ends_it(pod):
    await pod.run("say", warm=True)
    interpreter = pod.interpreter
    await pod.run("say", warm=False)
    assert ended(interpreter)
    assert pod.interpreter is None


async def test_the_pods_end_ends_it(pod):
    await pod.run("say", warm=True)
    interpreter = pod.interpreter
    await pod.runtime.detach()
    assert ended(interpreter)


async def test_names_change_while_it_runs(make):
    pod = await make({"src/charm.py": 'print(open("/etc/hosts").read())', "src/helper.py": ""})
    _, before = await pod.run("look", warm=True)
    interpreter = pod.interpreter
    pod.runtime.set_hosts({"127.242.128.9": ("late",)})
    _, after = await pod.run("look", warm=True)
    assert pod.interpreter is interpreter
    assert "127.242.128.9 late" in after["stdout"]
    assert after["stdout"] != before["stdout"]
    # What runs cold in between does not cut the two apart.
    await pod.runtime.exec(["true"], {}, socket_folder=pod.hooks)
    pod.runtime.set_hosts({"127.242.128.9": ("later",)})
    _, last = await pod.run("look", warm=True)
    assert pod.interpreter is interpreter
    assert "127.242.128.9 later" in last["stdout"]


async def test_a_module_in_the_place_of_one_that_ops_imports(make):
    """What ops has imported warm would be another than it gets in a new interpreter."""
    own = """\
        import importlib.util, sysconfig
        place = sysconfig.get_path("stdlib") + "/ipaddress.py"
        spec = importlib.util.spec_from_file_location("real", place)
        real = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(real)
        globals().update({name: getattr(real, name) for name in dir(real) if name[0] != "_"})
        SOURCE = "own"
    """
    sources = {"src/ipaddress.py": textwrap.dedent(own)}
    sources["src/charm.py"] = "import ops; print(ops.model.ipaddress.SOURCE)"
    pod = await make(sources)
    for kind in (False, True, True):
        assert await pod.run("look", warm=kind) == (0, {"stdout": ["own"], "stderr": []})
    (reason,) = pod.cold
    assert "ipaddress.py hides a module" in reason


async def test_a_dispatch_that_a_hook_has_changed(pod):
    await pod.run("say", warm=True)
    (pod.runtime.folder / "charm/dispatch").write_text("#!/bin/sh\necho other\n")
    assert (await pod.run("say", warm=True)) == (0, {"stdout": ["other"], "stderr": []})
    assert pod.cold == ["/var/lib/juju/agents/unit-probe-0/charm/dispatch was changed"]


async def test_a_dispatch_of_its_own(make):
    dispatch = "#!/bin/sh\nexport A=1\necho own\nexec venv/bin/python src/charm.py\n"
    pod = await make({"src/charm.py": "import ops; print('charm')", "dispatch": dispatch})
    assert await pod.run("say", warm=True) == (0, {"stdout": ["own", "charm"], "stderr": []})
    assert pod.cold == ["its dispatch is not the one that charmcraft writes"]
    assert pod.interpreter is None


async def test_what_cannot_be_imported(make):
    dispatch = archive._DISPATCH.replace("venv/bin/python", "python")
    sources = {"src/charm.py": "print('charm')", "dispatch": dispatch}
    sources["python"] = '#!/bin/sh\nexec python3 -S "$@"\n'
    pod = await make(sources)
    assert await pod.run("say", warm=True) == (0, {"stdout": ["charm"], "stderr": []})
    (reason,) = pod.cold
    assert "import ops: ModuleNotFoundError" in reason


async def test_an_import_that_never_ends(make, monkeypatch):
    monkeypatch.setattr(warm, "PATIENCE", 1.0)
    dispatch = archive._DISPATCH.replace("venv/bin/python", "python")
    sources = {"src/charm.py": "print('charm')", "dispatch": dispatch}
    sources["python"] = (
        '#!/bin/sh\ncase $1 in /dev/fd/*) exec sleep 60443 ;; esac\nexec python3 "$@"\n'
    )
    pod = await make(sources)
    assert await pod.run("say", warm=True) == (0, {"stdout": ["charm"], "stderr": []})
    (reason,) = pod.cold
    assert "takes more than" in reason
    assert processes("60443") == []


async def test_no_room(pod, monkeypatch):
    monkeypatch.setattr(warm, "room", lambda: 0)
    assert (await pod.run("fail", warm=True))[0] == 7
    assert pod.interpreter is None
    monkeypatch.undo()
    assert (await pod.run("fail", warm=True))[0] == 7
    assert pod.interpreter.alive


async def test_what_outlived_its_controller_is_ended(pod):
    await pod.run("say", warm=True)
    interpreter = pod.interpreter
    assert execution.reap(pod.runtime.folder.parent) >= 1
    await until(lambda: not interpreter.alive)
