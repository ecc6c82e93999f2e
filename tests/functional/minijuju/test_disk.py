"""A disk that is full or takes no writes: it is said, nothing is done by halves, it goes on."""

import os
import subprocess
import sys
from pathlib import Path

from minijuju.errors import JujuError
from sandbox import bubblewrap

from ...chaos.load import CHARM
from ...chaos.site import MODEL, PATIENCE, Site
from .. import disk
from ..disk import Ballast

ANY = CHARM.parent / "any"
SIZE = 32 << 20


def cli(data, *words, wrapper=()):
    return subprocess.run(
        [*wrapper, sys.executable, "-m", "minijuju.cli", *words],
        env={**os.environ, "MINIJUJU_DATA": str(data)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_a_full_disk(tmp_path: Path) -> None:
    """Run the test below in a mount namespace where the data folder is a small tmpfs."""
    disk.run(f"{__file__}::test_on_a_small_disk", tmp_path, SIZE, 900)


@disk.inside
def test_on_a_small_disk() -> None:
    site = Site(disk.folder() / "m", start=False)
    ballast = Ballast(disk.folder())
    site.start()
    try:
        judge(site, ballast)
    finally:
        ballast.path.unlink(missing_ok=True)
        if not site.lives():
            site.start()
        site.call("shutdown")
        site.end()


def judge(site: Site, ballast: Ballast) -> None:
    site.call("add_model", name=MODEL, config={"hook-retry-base": "200ms", "hook-retry-max": "1s"})
    site.call("deploy", application="a", charm=str(ANY), config={"message": "first"})
    site.call("deploy", application="b", charm=str(ANY))
    site.call("integrate", endpoints=["a:out", "b:in"])
    site.active("a/0", "b/0")
    pebble = site.container("a/0", "web").pid
    ballast.fill()

    # Asked for until it is refused; what was acknowledged is what is kept.
    kept = "first"
    refusal = None
    for number in range(100):
        ballast.fill()
        wanted = f"{number}" * 20_000
        done = cli(site.data, "config", "-m", MODEL, "a", f"message={wanted}")
        if done.returncode:
            refusal = done
            break
        kept = wanted
    assert refusal is not None
    assert refusal.returncode == 1
    assert "full" in refusal.stderr or "No space" in refusal.stderr, refusal.stderr
    assert "Traceback" not in refusal.stderr
    refused = ""
    for number in range(20):
        ballast.fill()
        try:
            site.call("deploy", application=f"c{number}", charm=str(ANY))
        except JujuError as error:
            refused = str(error)
            break
    assert "full" in refused or "No space" in refused
    # What only looks, works; what ran, runs.
    assert set(site.units()) >= {"a/0", "b/0"}
    assert site.call("config_get", application="a")["settings"]["message"]["value"] == kept
    assert site.container("a/0", "web").pid == pebble

    # Killed, it comes back or says why not; with room it goes on by itself.
    site.end()
    ballast.fill()
    started = cli(site.data, "status", "-m", MODEL)
    if started.returncode:
        assert "full" in started.stderr or "No space" in started.stderr, started.stderr
        assert "Traceback" not in started.stderr
    else:
        site.client.call("ping")
        os.kill(site.pid(), 9)
    ballast.path.unlink()
    site.until(lambda: site.start() or site.lives(), "it does not start")
    site.call("config_set", application="a", settings={"message": "last"})
    site.active("a/0", "b/0")
    site.until(lambda: (site.storage("a/0") / "page").read_text() == "last", "it does not go on")
    assert site.container("a/0", "web").pid == pebble
    with site.database() as database:
        assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert not database.execute("PRAGMA foreign_key_check").fetchall()


def test_a_disk_that_takes_no_writes_any_more(faulty, tmp_path):
    flag = tmp_path / "read-only"
    site = faulty(read_only=str(flag))
    site.call("deploy", application="a", charm=str(ANY), config={"message": "first"})
    site.active("a/0")
    pebble = site.container("a/0", "web").pid
    flag.touch()
    done = cli(site.data, "config", "-m", MODEL, "a", "message=second")
    assert done.returncode == 1
    assert "the controller cannot: attempt to write a readonly database" in done.stderr
    assert cli(site.data, "status", "-m", MODEL).returncode == 0
    # What happens meanwhile is dealt with afterwards.
    os.kill(pebble, 9)
    site.until(
        lambda: (web := site.container("a/0", "web")) is not None and web.pid != pebble,
        "Pebble does not come back",
    )
    assert site.lives()
    flag.unlink()
    site.call("config_set", application="a", settings={"message": "third"})
    site.until(lambda: (site.storage("a/0") / "page").read_text() == "third", "it does not go on")
    site.active("a/0")


def test_a_start_on_a_disk_that_takes_no_writes(faulty):
    site = faulty()
    site.call("deploy", application="a", charm=str(ANY))
    site.active("a/0")
    site.end()
    before = (site.data / "state.db").read_bytes()
    wrapper = [str(bubblewrap.find()), "--dev-bind", "/", "/"]
    wrapper += ["--ro-bind", str(site.data), str(site.data), "--"]
    done = cli(site.data, "status", "-m", MODEL, wrapper=wrapper)
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr
    assert (site.data / "state.db").read_bytes() == before
    site.start()
    site.active("a/0")
