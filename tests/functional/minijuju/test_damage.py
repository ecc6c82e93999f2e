"""The database is damaged: it is refused and kept, and the last good copy goes on in its place."""

import os
import subprocess
import sys

import pytest

from minijuju.errors import JujuError

from ...chaos.load import CHARM
from ...chaos.site import MODEL, PATIENCE, Site


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path / "data")
    site.call("add_model", name=MODEL)
    yield site
    site.call("shutdown")
    assert site.processes() == []


def cli(site, *words):
    return subprocess.run(
        [sys.executable, "-m", "minijuju.cli", *words],
        env={**os.environ, "MINIJUJU_DATA": str(site.data)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)


def test_a_damaged_database_is_put_back_from_its_copy(site):
    site.call("deploy", application="a", charm=str(CHARM))
    site.active("a/0")
    assert cli(site, "backup").returncode == 0
    site.call("add_unit", application="a")
    site.active("a/1")
    pebble = site.container("a/0", "work")
    newer = site.storage("a/1")
    written = (newer / "journal").read_text()
    running = cli(site, "restore")
    assert running.returncode == 1
    assert f"the controller (process {site.pid()}) works on {site.data}" in running.stderr

    site.kill()
    database = site.data / "state.db"
    # The first page's header, which even a log that is folded in does not mend.
    flip(database, 0)
    (site.data / "state.db-wal").unlink()
    before = database.read_bytes()
    for _ in range(2):
        refused = cli(site, "status", "-m", MODEL)
        assert refused.returncode == 1
        assert f"the database {database} is damaged (file is not a database)" in refused.stderr
        assert "`minijuju restore` puts the last good copy, of 20" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert database.read_bytes() == before

    done = cli(site, "restore")
    assert done.returncode == 0, done.stderr
    (kept,) = site.data.glob("state.db.damaged-*Z")
    assert kept.read_bytes() == before
    (aside,) = site.data.glob("storage.kept-*")
    assert str(kept) in done.stderr
    assert str(aside) in done.stderr
    # What the copy knows goes on as it was; what it does not know ends, its data kept.
    site.active("a/0")
    assert sorted(site.units()) == ["a/0"]
    assert site.container("a/0", "work").pid == pebble.pid
    assert (aside / newer.relative_to(site.data / "storage") / "journal").read_text() == written
    assert not newer.exists()
    site.until(lambda: len(list(site.data.glob("units/*/*"))) == 1, "a pod is left")
    site.call("add_unit", application="a")
    site.active("a/1")


@pytest.mark.parametrize("part", [0, 0.5, 0.99])
def test_a_database_cut_short(site, part):
    site.client.call("shutdown")
    database = site.data / "state.db"
    whole = database.read_bytes()
    os.truncate(database, int(len(whole) * part))
    with pytest.raises(JujuError, match=r"is damaged .* `minijuju restore`"):
        site.pid()
    # A clean end has left a copy.
    assert cli(site, "restore").returncode == 0
    assert [model["short-name"] for model in site.call("models")["models"]] == [MODEL]


def test_a_second_controller_says_that_there_is_one(site):
    second = subprocess.run(
        [sys.executable, "-m", "minijuju.serve", str(site.data)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert second.returncode == 3
    assert f"another controller (process {site.pid()}) works on {site.data}" in second.stderr
