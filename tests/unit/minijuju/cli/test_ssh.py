"""Copies to and from a unit, with the way in replaced by a shell in a folder."""

import os

import pytest


@pytest.fixture
def unit(run, fake, documents_of, tmp_path, monkeypatch):
    """A unit db/0 whose file system is a folder; `cp(...)` runs scp."""
    monkeypatch.setenv("JUJU_MODEL", "m")
    root = tmp_path / "root"
    (root / "var/lib/juju").mkdir(parents=True)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    fake.answers["status"] = documents_of.status(db=documents_of.application("db"))

    def enter(params):
        *shell, line = params["command"]
        line = line.replace(" /", f" {root}/")
        return {"argv": [*shell, line], "env": {}}

    fake.answers["ssh"] = enter
    return root


def test_a_file_there_and_back(run, unit, fake):
    with open("a", "w") as file:
        file.write("text")
    os.chmod("a", 0o755)
    assert run("scp", "a", "db/0:b").code == 0
    copied = unit / "var/lib/juju/b"
    assert copied.read_text() == "text"
    assert copied.stat().st_mode & 0o111
    assert run("scp", "ubuntu@db/leader:b", "back").code == 0
    with open("back") as file:
        assert file.read() == "text"
    assert run("scp", "--", "-p", "a", "db/0:").code == 0
    assert (unit / "var/lib/juju/a").exists()


def test_folders(run, unit):
    os.makedirs("tree/sub")
    with open("tree/sub/x", "w") as file:
        file.write("y")
    os.symlink("sub/x", "tree/link")
    assert "say -r" in run("scp", "tree", "db/0:t").err
    assert run("scp", "-r", "tree", "db/0:t").code == 0
    assert (unit / "var/lib/juju/t/sub/x").read_text() == "y"
    assert (unit / "var/lib/juju/t/link").read_text() == "y"
    assert "say -r" in run("scp", "db/0:t", "back").err
    assert run("scp", "--", "-r", "db/0:t", "back").code == 0
    with open("back/sub/x") as file:
        assert file.read() == "y"
    # Into a folder that is there.
    assert run("scp", "-r", "tree", "db/0:t").code == 0
    assert (unit / "var/lib/juju/t/tree/sub/x").exists()


def test_a_workloads_container(run, unit, fake):
    (unit / "data").mkdir()
    open("a", "w").close()
    assert run("scp", "--container", "c", "a", "db/0:data/").code == 0
    assert (unit / "data/a").exists()
    assert fake.params("ssh")["container"] == "c"


@pytest.mark.parametrize(
    ("argv", "code", "problem"),
    [
        (["a"], 2, "at least two arguments"),
        (["a", "b"], 2, "one side must be a unit"),
        (["db/0:a", "db/0:b"], 2, "copy twice"),
        (["--", "-i", "key", "a", "db/0:b"], 2, "there is no SSH"),
        (["none", "db/0:b"], 1, "none: no such file"),
        (["db/9:a", "b"], 1, 'unit "db/9" not found'),
        (["db/0:none", "b"], 1, "cannot copy db/0:none"),
    ],
)
def test_refused(run, unit, argv, code, problem):
    result = run("scp", *argv)
    assert (result.code, problem in result.err) == (code, True), result.err
