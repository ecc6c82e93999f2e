import json

import pytest


@pytest.fixture
def known(fake):
    names = ["one", "two"]
    fake.answers["models"] = lambda _: {
        "models": [
            {
                "name": f"admin/{name}",
                "short-name": name,
                "cloud": "localhost",
                "type": "kubernetes",
                "status": {"current": "available"},
            }
            for name in names
        ]
    }
    fake.answers["add_model"] = lambda params: names.append(params["name"])
    fake.answers["destroy_model"] = lambda params: names.remove(params["model"])
    fake.answers["show_model"] = lambda params: {params["model"]: {"name": params["model"]}}
    fake.answers["status"] = {"applications": {}, "storage": {}}
    return fake


def test_add_switches_unless_told_not_to(run, known):
    assert run("add-model", "three", "--config", "update-status-hook-interval=10s").code == 0
    assert known.params("add_model") == {
        "name": "three",
        "config": {"update-status-hook-interval": "10s"},
    }
    assert run("switch").out == "minijuju:admin/three\n"
    assert run("add-model", "--no-switch", "four").code == 0
    assert run("switch").out == "minijuju:admin/three\n"


def test_switch(run, known):
    assert run("switch").code == 1
    assert run("switch", "one").err == "minijuju (controller) -> minijuju:admin/one\n"
    assert run("switch", "one").err == "minijuju:admin/one (no change)\n"
    assert run("switch", "minijuju:admin/two").code == 0
    assert run("switch").out == "minijuju:admin/two\n"
    result = run("switch", "nowhere")
    assert result.code == 1
    assert '"nowhere" is not the name of a model' in result.err
    assert run("switch", "other:one").code == 1


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("elsewhere:m", "controller elsewhere not found"),
        ("bob/m", "model minijuju:bob/m not found"),
        ("a:b:c", "not a valid model name"),
        ("a/", "not found"),
    ],
)
def test_models_of_other_controllers_and_users(run, known, reference, problem):
    result = run("status", "-m", reference)
    assert result.code == 1
    assert problem in result.err


def test_models_of_the_environment(run, known, monkeypatch):
    monkeypatch.setenv("JUJU_MODEL", "minijuju:two")
    run("show-model")
    assert known.params("show_model") == {"model": "two"}
    run("show-model", "one", "--format", "json")
    assert known.params("show_model") == {"model": "one"}


def test_list(run, known):
    run("switch", "two")
    out = run("models").out
    assert "two*" in out
    assert "one " in out
    document = json.loads(run("models", "--format", "json").out)
    assert document["current-model"] == "two"
    assert [model["short-name"] for model in document["models"]] == ["one", "two"]


def test_list_of_none(run, fake):
    fake.answers["models"] = {"models": []}
    assert "There are no models" in run("models").out


def test_destroy_asks_and_without_a_terminal_refuses(run, known):
    run("switch", "one")
    result = run("destroy-model", "one")
    assert result.code == 1
    assert "--no-prompt" in result.err
    assert "destroy_model" not in known.methods()
    assert run("destroy-model", "one", "--no-prompt").code == 0
    assert known.params("destroy_model") == {
        "model": "one",
        "force": False,
        "destroy_storage": False,
        "timeout": None,
    }
    assert run("switch").code == 1
    assert run("destroy-model", "two", "--no-prompt", "--no-wait").code == 1
    argv = ["destroy-model", "two", "--no-prompt", "--no-wait", "--force", "--timeout", "90s"]
    assert run(*argv).code == 0
    assert known.params("destroy_model")["timeout"] == 90


def test_destroy_refuses_to_lose_storage(run, known):
    known.answers["status"] = {"applications": {}, "storage": {"storage": {"data/0": {}}}}
    result = run("destroy-model", "one", "--no-prompt")
    assert result.code == 1
    assert "persistent storage remaining" in result.err
    assert "destroy_model" not in known.methods()
    assert run("destroy-model", "one", "--no-prompt", "--destroy-storage").code == 0
    assert known.params("destroy_model")["destroy_storage"] is True


def test_a_damaged_client_file_is_named(run, known, data):
    (data / "client.json").write_text("{")
    result = run("status")
    assert result.code == 1
    assert "client.json is damaged" in result.err
