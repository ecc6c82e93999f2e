"""Containers that misbehave, and machines that do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from sandbox.container import Container
from sandbox.spec import Spec

from .conftest import Runner, finish


def test_a_hundred_megabytes_of_output_are_kept(runner: Runner) -> None:
    container = runner.start("sh", "-c", "head -c 100000000 /dev/zero; echo; echo end")

    assert finish(container).code == 0
    assert container.spec.output is not None
    assert container.spec.output.stat().st_size == 100_000_005


def test_many_at_once(runner: Runner) -> None:
    containers = [runner.start("sh", "-c", f"exit {n}") for n in range(20)]

    assert [finish(container).code for container in containers] == list(range(20))


def test_a_storm_of_children_ends_with_it(runner: Runner) -> None:
    script = "for i in $(seq 50); do setsid sleep 1000 & done; echo up; exit 3"
    container = runner.start("sh", "-c", script)

    assert finish(container).code == 3


FULL = textwrap.dedent(
    """\
    import asyncio, errno, sys
    from pathlib import Path
    from sandbox.container import Container
    from sandbox.errors import NoSpaceError
    from sandbox.spec import Mount, Spec

    disk, outside = Path(sys.argv[1]), Path(sys.argv[2])
    filler = disk / "filler"
    told = fit = 0
    for pages in range(200):
        with filler.open("wb", 0) as stream:
            try:
                while True:
                    stream.write(bytes(4096))
            except OSError as error:
                assert error.errno == errno.ENOSPC
            stream.truncate(stream.tell() - pages * 4096)
        place = disk / "c"
        mounts = (Mount(outside, "/outside"),)
        spec = Spec(("sh", "-c", f"echo x >> /outside/{pages}; exit 4"), mounts=mounts)
        try:
            container = Container.start(place, spec)
        except NoSpaceError as error:
            assert "No space left on device" in str(error), error
            told += 1
            assert not (outside / str(pages)).exists(), "it has run"
            filler.unlink()
            assert Container.adopt(place) is None
            container = Container.start(place, spec)
        else:
            fit += 1
            # Found by another, in whatever has been written down.
            container = Container.adopt(place)
        assert asyncio.run(container.wait()).code == 4
        assert (outside / str(pages)).read_text() == "x\\n"
        filler.unlink(missing_ok=True)
        container.remove()
        if fit == 3:
            break
    assert told and fit == 3, (told, fit)
    """
)


def test_a_full_disk_is_told_and_nothing_runs_twice(tmp_path: Path) -> None:
    """With no room at all, and with each page more, up to enough."""
    disk, outside = tmp_path / "disk", tmp_path / "outside"
    disk.mkdir()
    outside.mkdir()
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private"]
    small = 'mount -t tmpfs -o size=1m tmpfs "$2" && exec "$0" -c "$1" "$2" "$3"'
    run = subprocess.run(
        [*unshare, "sh", "-c", small, sys.executable, FULL, str(disk), str(outside)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert run.returncode == 0, run.stderr


def test_killed_owners_leave_no_zombie_and_no_stray(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """\
        import os, signal, sys
        from pathlib import Path
        from sandbox.container import Container
        from sandbox.spec import Spec
        for n in range(3):
            Container.start(Path(sys.argv[1]) / str(n), Spec(("sleep", "1000")))
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=60)
    assert run.returncode == -signal.SIGKILL

    for n in range(3):
        container = Container.adopt(tmp_path / str(n))
        assert container is not None
        assert container.running()
        container.kill()
        assert finish(container).code == 137
        container.remove()
    assert list(tmp_path.iterdir()) == []
    # The folder is as good as new.
    again = Container.start(tmp_path / "0", Spec(("true",)))
    assert finish(again).code == 0
