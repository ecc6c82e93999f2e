from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import record, skeleton, tree
from sandbox.container import Container
from sandbox.errors import SandboxError
from sandbox.spec import Image, Mount, Spec

from ..kernel import reaches_outside
from ..waiting import PATIENCE
from .conftest import Runner, finish, forget


def ended(container: Container) -> tuple[int, str]:
    exit_ = finish(container)
    return exit_.code, exit_.reason


def until(found: Callable[[], object]) -> None:
    limit = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_output_and_exit_code(runner: Runner) -> None:
    container = runner.start("sh", "-c", "echo out; echo err >&2; exit 7")

    assert ended(container) == (7, "Error")
    assert runner.output(container) == "out\nerr\n"
    assert not container.running()
    assert container.exit() == finish(container)


def test_it_is_pid_1_and_root_in_a_world_of_its_own(runner: Runner) -> None:
    container = runner.start(
        "sh",
        "-c",
        "echo $$ $(id -u) $(hostname) $(pwd); ls /home; ls /proc | grep -c '^[0-9]'",
        hostname="unit-0",
        cwd="/srv/app",
    )

    assert ended(container) == (0, "Completed")
    lines = runner.output(container).splitlines()
    assert lines[0] == "1 0 unit-0 /srv/app"
    # The shell, ls and grep: no process of the host, and no home folder.
    assert len(lines) == 2
    assert int(lines[1]) <= 4


def test_it_has_no_privileges(runner: Runner) -> None:
    container = runner.start("grep", "-E", "CapEff|CapBnd|NoNewPrivs", "/proc/self/status")

    assert ended(container) == (0, "Completed")
    assert runner.output(container).split() == [
        *("CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1")
    ]


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("layered", [False, True], ids=["copied", "layered"])
def test_what_one_changes_no_other_sees(
    runner: Runner,
    warm_image: Image,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    layered: bool,
    warm: bool,
) -> None:
    if layered and not skeleton.overlays(tmp_path):
        pytest.skip("no root can lie over another on this disk")
    monkeypatch.setattr(skeleton, "overlays", lambda directory: layered)
    code = """\
        import os
        from os.path import exists
        print("mine" in open("/etc/passwd").read(), exists("/etc/group"), os.listdir("/opt"))
        print("dir=" in open("/proc/self/mounts").readline())
        with open("/etc/passwd", "a") as file:
            file.write("mine:x:9:9::/:/bin/sh\\n")
        os.remove("/etc/group")
        os.rename("/etc/profile", "/opt/profile")
        os.mkdir("/opt/new")
        os.chmod("/root", 0o777)
        print(oct(os.stat("/root").st_mode), sorted(os.listdir("/opt")), exists("/etc/group"))
    """
    for _ in range(2):
        command = ("python", "-c", textwrap.dedent(code))
        container = runner.start(*command, image=warm_image, warm=warm)
        assert ended(container) == (0, "Completed"), runner.output(container)
        assert runner.output(container).splitlines() == [
            "False True ['probe']",
            str(layered),
            "0o40777 ['new', 'probe', 'profile'] False",
        ]
        container.trim()
        left = {path.name for path in container.directory.iterdir()}
        assert not left & {"root", "work", "etc", "tmp", "run"}


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_the_kernel_cannot_be_set_from_inside(
    runner: Runner, warm_image: Image, *, warm: bool
) -> None:
    code = """\
import os
places = ["/proc/sysrq-trigger"]
for top in ("/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/sys"):
    places += [os.path.join(folder, name) for folder, _, names in os.walk(top) for name in names]
for place in places:
    try:
        os.close(os.open(place, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        continue
    print(place)
print(len(places) > 100)
"""
    container = runner.start("python", "-c", code, image=warm_image, warm=warm)

    assert ended(container) == (0, "Completed")
    *writable, walked = runner.output(container).splitlines()
    assert walked == "True"
    assert [path for path in writable if reaches_outside(path)] == []


def test_the_system_is_read_only(runner: Runner) -> None:
    container = runner.start(
        "sh", "-c", "touch /usr/x; touch /etc/own /tmp/own /opt/own && echo ok"
    )

    ended(container)
    assert "Read-only file system" in runner.output(container)
    assert runner.output(container).endswith("ok\n")


def test_mounts(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "rw").mkdir()
    (tmp_path / "ro").mkdir()
    (tmp_path / "file").write_text("note\n")
    (tmp_path / "ro" / "file").write_text("inner\n")
    container = runner.start(
        "sh",
        "-c",
        "echo new > /data/made; cat /data/inner/file /dev/note; touch /data/inner/x || echo no",
        mounts=(
            Mount(tmp_path / "rw", "/data"),
            Mount(tmp_path / "ro", "/data/inner", read_only=True),
            Mount(tmp_path / "file", "/dev/note"),
        ),
    )

    ended(container)
    assert (tmp_path / "rw/made").read_text() == "new\n"
    lines = runner.output(container).splitlines()
    assert (lines[:2], lines[-1]) == (["inner", "note"], "no")


def test_the_environment_is_exact_and_not_in_any_argument_list(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWN_SECRET", "1")
    container = runner.start("sh", "-c", "env; sleep 60", env={"TOKEN": "s3cret", "A": "b c\nd"})
    until(lambda: "TOKEN" in runner.output(container))

    stat = record.read_stat(container.pid)
    assert stat is not None
    for pid in (container.pid, stat.parent):
        assert b"s3cret" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert b"s3cret" not in Path(f"/proc/{stat.parent}/environ").read_bytes()
    assert "OWN_SECRET" not in runner.output(container)
    assert "TOKEN=s3cret\n" in runner.output(container)
    assert "A=b c\nd\n" in runner.output(container)


def test_a_root_that_persists(runner: Runner, tmp_path: Path) -> None:
    first = runner.start("sh", "-c", "echo kept > /var/lib/state", root=tmp_path / "root")
    ended(first)
    second = runner.start("cat", "/var/lib/state", root=tmp_path / "root")
    ended(second)
    third = runner.start("cat", "/var/lib/state")

    assert runner.output(second) == "kept\n"
    assert ended(third) == (1, "Error")


def test_hosts(runner: Runner) -> None:
    container = runner.start(
        "sh",
        "-c",
        "getent hosts db.model; until getent hosts web; do sleep 0.01; done",
        hosts={"127.1.2.3": ("db", "db.model")},
    )
    until(lambda: "127.1.2.3" in runner.output(container))

    container.set_hosts({"127.1.2.4": ("web",)})

    assert ended(container) == (0, "Completed")
    assert "127.1.2.4" in runner.output(container)


def test_signals_reach_a_handler_and_orphans_are_killed_with_it(runner: Runner) -> None:
    container = runner.start(
        "sh", "-c", "trap 'exit 5' TERM; setsid sleep 1000 & echo up; while :; do wait; done"
    )
    until(lambda: runner.output(container))
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    namespace = os.readlink(f"/proc/{container.pid}/ns/pid")
    inside = [pid for pid in pids if _namespace(pid) == namespace]
    assert len(inside) >= 2

    container.signal(signal.SIGTERM)

    assert ended(container) == (5, "Error")
    until(lambda: not any(_namespace(pid) == namespace for pid in inside))


def _namespace(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None


def test_kill_with_a_reason(runner: Runner) -> None:
    container = runner.start("sleep", "1000")
    container.kill("OOMKilled")

    assert ended(container) == (137, "OOMKilled")
    container.kill("Other")
    assert container.exit() == finish(container)


def test_what_cannot_run_is_an_error_with_the_reason(runner: Runner, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")

    with pytest.raises(SandboxError, match=r"cannot start \['no-such'\].*No such file"):
        runner.start("no-such", output=log)

    assert log.read_text() == "before\n"
    assert Container.adopt(runner.place()) is None
    runner.start("true", output=log)


def test_a_missing_source_starts_nothing(runner: Runner, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="does not exist"):
        runner.start("true", mounts=(Mount(tmp_path / "none", "/data"),))

    assert Container.adopt(runner.place()) is None


def test_a_folder_holds_one_container(runner: Runner) -> None:
    container = runner.start("sleep", "1000")
    with pytest.raises(SandboxError, match="holds a container already"):
        Container.start(container.directory, Spec(("true",)))

    container.kill()
    ended(container)
    with pytest.raises(SandboxError, match="holds a container already"):
        Container.start(container.directory, Spec(("true",)))


def test_trim_and_remove(runner: Runner) -> None:
    container = runner.start("sh", "-c", "mkdir -p /tmp/x/y; chmod 0 /tmp/x")
    before = finish(container)

    container.trim()
    assert not (container.directory / "root").exists()
    assert Container.adopt(container.directory) is not None
    assert container.exit() == before

    container.remove()
    assert not container.directory.exists()


@pytest.mark.parametrize("gone", [(), ("spec.json",), ("root", "spec.json")])
def test_a_removal_that_is_cut_off_leaves_room_for_another(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, gone: tuple[str, ...]
) -> None:
    """Whatever of it had gone by then: files go in the order in which the disk lists them."""
    container = runner.start("false")
    finish(container)
    remove = tree.remove

    def cut(folder: Path) -> None:
        for name in gone:
            if (folder / name).is_dir():
                remove(folder / name)
            else:
                (folder / name).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tree, "remove", cut)
        with pytest.raises(KeyboardInterrupt):
            container.remove()
    assert Container.adopt(container.directory) is None
    another = Container.start(container.directory, Spec(("true",)))
    assert finish(another).code == 0


def test_a_running_one_is_not_removed(runner: Runner) -> None:
    container = runner.start("sleep", "1000")

    with pytest.raises(SandboxError, match="still runs"):
        container.remove()


def test_adopt_finds_nothing_where_nothing_was_started(tmp_path: Path) -> None:
    assert Container.adopt(tmp_path / "none") is None


def test_adopted_while_running(runner: Runner) -> None:
    container = runner.start("sh", "-c", "trap 'exit 4' TERM; while :; do sleep 0.01; done")
    forget(container)

    adopted = Container.adopt(container.directory)

    assert adopted is not None
    assert adopted.pid == container.pid
    assert adopted.running()
    adopted.kill("Evicted")
    assert ended(adopted) == (137, "Evicted")


def test_after_a_reboot_it_is_lost(runner: Runner) -> None:
    container = runner.start("sleep", "1000")
    process = record.read_process(container.directory)
    assert process is not None
    container.kill()
    ended(container)
    # As the disk looks when the machine went down while it ran.
    status = container.directory / "status"
    status.write_text(status.read_text().splitlines()[0] + "\n")
    spec = container.directory / "spec.json"
    spec.write_text(spec.read_text().replace(record.boot_id(), "an-earlier-boot"))

    adopted = Container.adopt(container.directory)

    assert adopted is not None
    assert not adopted.running()
    assert ended(adopted) == (137, "Lost")
    again = Container.adopt(container.directory)
    assert again is not None
    assert again.exit() == adopted.exit()


def test_a_reused_pid_is_not_taken_for_it(runner: Runner) -> None:
    container = runner.start("sleep", "1000")
    container.kill()
    ended(container)
    other = subprocess.Popen(["sleep", "1000"])
    try:
        status = container.directory / "status"
        line = status.read_text().splitlines()[0]
        status.write_text(line.replace(str(container.pid), str(other.pid)) + "\n")

        adopted = Container.adopt(container.directory)

        assert adopted is not None
        assert not adopted.running()
        adopted.kill()
        assert ended(adopted) == (137, "Lost")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_killed_monitor_loses_no_running_container(runner: Runner) -> None:
    container = runner.start("sleep", "1000")
    stat = record.read_stat(container.pid)
    assert stat is not None
    os.kill(stat.parent, signal.SIGKILL)

    adopted = Container.adopt(container.directory)

    assert adopted is not None
    assert adopted.running()
    assert adopted.exit() is None
    adopted.kill()
    assert ended(adopted) == (137, "Lost")


OWNER = textwrap.dedent(
    """\
    import sys
    from pathlib import Path
    from sandbox.container import Container
    from sandbox.spec import Mount, Spec
    folder = Path(sys.argv[1])
    print("go", flush=True)
    Container.start(
        folder / "c",
        Spec(
            ("sh", "-c", "echo ran >> /shared/ran; sleep 0.3"),
            mounts=(Mount(folder / "shared", "/shared"),),
            output=folder / "log",
        ),
    )
    print("started", flush=True)
    sys.stdin.read()
    """
)


@pytest.mark.parametrize("delay_ms", [0, 2, 4, 6, 8, 10, 12, 15, 20, 30])
def test_its_owner_killed_at_any_moment(tmp_path: Path, delay_ms: int) -> None:
    (tmp_path / "shared").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"go\n"
        time.sleep(delay_ms / 1000)
        owner.kill()

    adopted = Container.adopt(tmp_path / "c")

    if adopted is None:
        # Nothing has run, nor will: the folder is free for another start.
        spec = Spec(
            ("sh", "-c", "echo ran >> /shared/ran"),
            mounts=(Mount(tmp_path / "shared", "/shared"),),
        )
        adopted = Container.start(tmp_path / "c", spec)
    assert ended(adopted) == (0, "Completed")
    assert (tmp_path / "shared/ran").read_text() == "ran\n"
