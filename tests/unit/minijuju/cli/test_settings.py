"""Defaults, constraints and exposing."""

import json

import pytest
import yaml


@pytest.fixture(autouse=True)
def model(monkeypatch, data):
    monkeypatch.setenv("JUJU_MODEL", "m")


DEFAULTS = {"a": {"default": True}, "b": {"default": "5m", "controller": "1m"}}


def test_model_defaults(run, fake, tmp_path):
    fake.answers["model_defaults"] = DEFAULTS
    assert [line.split() for line in run("model-defaults").out.splitlines()] == [
        ["Attribute", "Default", "Controller"],
        ["a", "true", "-"],
        ["b", "5m", "1m"],
    ]
    assert json.loads(run("model-default", "b", "--format", "json").out) == {"b": DEFAULTS["b"]}
    assert 'default model values for "c"' in run("model-defaults", "c").err
    # What Juju does not know has no default of Juju's.
    fake.answers["model_defaults"] = {"own": {"controller": "x"}}
    assert run("model-defaults", "own").out.splitlines()[1].split() == ["own", "-", "x"]
    fake.answers["model_defaults"] = DEFAULTS
    assert run("model-defaults", "a", "b").code == 1
    assert run("model-defaults", "a", "b=1").code == 1
    (tmp_path / "d.yaml").write_text("a: false\n")
    argv = ["b=2m", "--reset", "c,d", "--file", str(tmp_path / "d.yaml")]
    result = run("model-defaults", *argv)
    assert (result.code, result.out) == (0, "")
    assert fake.params("model_defaults") == {"set": {"a": False, "b": "2m"}, "reset": ["c", "d"]}


def test_constraints(run, fake):
    fake.answers["show_application"] = {"db": {"constraints": {"mem": 1024, "cores": 2}}}
    assert run("constraints", "db").out == "cores=2 mem=1024M\n"
    assert yaml.safe_load(run("constraints", "db", "--format", "yaml").out) == {
        "cores": 2,
        "mem": 1024,
    }
    fake.answers["show_application"] = {"db": {"constraints": {}}}
    assert run("constraints", "db").out == ""
    fake.answers["set_constraints"] = None
    assert run("set-constraints", "db", "mem=2G", "cores=1").code == 0
    assert fake.params("set_constraints") == {
        "model": "m",
        "application": "db",
        "constraints": "cores=1 mem=2048M",
    }
    assert "unknown constraint" in run("set-constraints", "db", "x=1").err


def test_model_constraints(run, fake):
    fake.answers["model_constraints"] = "mem=1024M"
    assert run("model-constraints").out == "mem=1024M\n"
    assert json.loads(run("model-constraints", "--format", "json").out) == {"mem": 1024}
    fake.answers["set_model_constraints"] = None
    assert run("set-model-constraints").code == 0
    assert fake.params("set_model_constraints") == {"model": "m", "constraints": ""}


@pytest.mark.parametrize("verb", ["expose", "unexpose"])
def test_exposing(run, fake, verb):
    fake.answers[verb] = None
    assert run(verb, "db").code == 0
    assert fake.params(verb) == {"model": "m", "application": "db"}
