"""Who and where, and the controller itself."""

import json
import os

import pytest
import yaml

INFO = {
    "uuid": "u-u",
    "version": "3.6.12",
    "created": "01 Jan 2026 00:00:00Z",
    "backup": {"file": "/d/state.backup.db", "written": "2026-01-01 01:00:00 UTC", "problem": ""},
    "models": {"one": {"model-uuid": "m-u", "unit-count": 2}},
}


@pytest.fixture
def known(fake):
    fake.answers["controller_info"] = INFO
    fake.answers["models"] = {"models": [{"short-name": "one"}]}
    fake.answers["destroy_model"] = None
    fake.answers["storage"] = {}
    return fake


def test_controllers(run, known):
    run("switch", "one")
    found = json.loads(run("controllers", "--format", "json").out)
    entry = found["controllers"]["minijuju"]
    assert (entry["running"], entry["controller-uuid"], entry["model-count"]) == (True, "u-u", 1)
    assert (entry["current-model"], found["current-controller"]) == ("admin/one", "minijuju")
    lines = run("list-controllers").out.splitlines()
    assert lines[0].split()[:3] == ["Controller", "Model", "User"]
    assert lines[1].split() == [
        *("minijuju*", "one", "admin", "superuser", "localhost", "1", "3.6.12")
    ]


def test_controllers_starts_none(run, data):
    entry = json.loads(run("controllers", "--format", "json").out)["controllers"]["minijuju"]
    assert entry["running"] is False
    assert list(data.iterdir()) == []


def test_show_controller(run, known):
    found = yaml.safe_load(run("show-controller").out)["minijuju"]
    assert found["details"]["controller-uuid"] == "u-u"
    assert found["models"] == INFO["models"]
    assert run("show-controller", "minijuju").code == 0
    result = run("show-controller", "other")
    assert (result.code, result.err) == (1, "ERROR controller other not found\n")


def test_whoami(run, known):
    expected = {"controller": "minijuju", "model": "", "user": "admin"}
    assert json.loads(run("whoami", "--format", "json").out) == expected
    assert run("whoami").out == (
        "Controller:  minijuju\nModel:       <no-current-model>\nUser:        admin\n"
    )


def test_users(run, known):
    (user,) = json.loads(run("users", "--format", "json").out)
    assert (user["user-name"], user["access"]) == ("admin", "superuser")
    assert user["date-created"] == INFO["created"]
    assert "admin*" in run("list-users").out
    assert yaml.safe_load(run("show-user").out) == user
    assert run("show-user", "bob").err == 'ERROR user "bob" not found\n'


def test_clouds(run):
    assert list(json.loads(run("clouds", "--format", "json").out)) == ["localhost"]
    assert "localhost" in run("clouds").out
    assert yaml.safe_load(run("show-cloud", "localhost").out)["type"] == "kubernetes"
    assert run("show-cloud", "aws").code == 1


@pytest.fixture
def ended(known):
    """A process that has ended, as the controller's: there is nothing to wait for."""
    pid = os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitpid(pid, 0)
    known.answers["shutdown"] = {"pid": pid}
    return known


def test_destroy_controller(run, ended):
    result = run("destroy-controller", "minijuju", "--no-prompt")
    assert result.code == 1
    assert "The controller has live hosted models" in result.err
    argv = ["destroy-controller", "--destroy-all-models"]
    assert "--no-prompt" in run(*argv).err
    ended.answers["storage"] = {"storage": {"data/0": {}}}
    assert "--destroy-storage" in run(*argv, "--no-prompt").err
    assert "destroy_model" not in ended.methods()
    assert run(*argv, "--no-prompt", "--destroy-storage").code == 0
    assert ended.params("destroy_model") == {
        "model": "one",
        "force": False,
        "destroy_storage": True,
        "timeout": None,
    }
    assert ended.methods()[-1] == "shutdown"
    assert run("destroy-controller", "other", "--no-prompt").code == 1


def test_kill_controller(run, ended):
    assert run("kill-controller").code == 1
    assert "destroy_model" not in ended.methods()
    assert run("kill-controller", "--no-prompt").code == 0
    assert ended.params("destroy_model")["force"] is True
    assert ended.methods()[-1] == "shutdown"
