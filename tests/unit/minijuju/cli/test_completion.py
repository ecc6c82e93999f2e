"""What a shell is told, asked as a shell asks."""

import os
import subprocess
import sys

import pytest

from minijuju.cli import completion


@pytest.fixture
def ask(data, monkeypatch, tmp_path):
    """Complete a line in a process of its own; the candidates."""
    monkeypatch.chdir(tmp_path)

    def put(line):
        env = {
            **os.environ,
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_IFS": "\n",
            "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            "COMP_TYPE": "9",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "answer"),
        }
        subprocess.run([sys.executable, "-m", "minijuju"], env=env, check=True, timeout=60)
        return (tmp_path / "answer").read_text().splitlines()

    return put


def test_verbs_and_options(ask):
    assert set(ask("juju dep")) == {"deploy"}
    assert {"show-model", "show-unit", "show-task"} <= set(ask("juju show-"))
    assert set(ask("juju deploy --over")) == {"--overlay"}
    assert "--format" in ask("juju status --f")
    assert {"json", "yaml"} <= set(ask("juju status --format "))


def test_names_of_the_model(ask, run, fake, documents_of):
    fake.answers["models"] = {"models": [{"short-name": "one"}]}
    fake.answers["status"] = documents_of.status(db=documents_of.application("db", units=2))
    run("switch", "one")
    assert ask("juju config ") == ["db"]
    assert set(ask("juju show-unit db/")) == {"db/0", "db/1"}
    assert ask("juju switch ") == ["one"]
    fake.answers["actions"] = {"backup": {}, "restore": {}}
    assert set(ask("juju run db/0 ")) == {"backup", "restore"}
    assert fake.params("actions")["application"] == "db"
    fake.answers["config_get"] = {"settings": {"level": {}, "size": {}}}
    assert set(ask("juju config db ")) == {"level=", "size="}
    assert ask("juju config db si") == ["size="]
    assert ask("juju status -m ") == ["one"]


def test_files(ask, tmp_path):
    (tmp_path / "x.charm").touch()
    (tmp_path / "notes.txt").touch()
    assert ask("juju deploy ./") == ["./x.charm"] or "./x.charm" in ask("juju deploy ./")
    assert "./notes.txt" not in ask("juju deploy ./")


def test_completing_starts_no_controller(ask, data):
    assert ask("juju show-unit ") == []
    assert not (data / "controller.socket").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_shells_part(run, shell):
    result = run("completion", shell, program="juju")
    assert result.code == 0
    assert "juju" in result.out
    assert "_ARGCOMPLETE" in result.out
    assert run("completion", "fish").code == 2


def test_a_line_with_an_open_quote():
    assert completion._words("juju config 'a") == ["config"]
