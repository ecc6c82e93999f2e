"""What each of the smaller verbs asks of the controller, and what it prints."""

import json
import os

import pytest
import yaml


@pytest.fixture(autouse=True)
def model(monkeypatch, data):
    monkeypatch.setenv("JUJU_MODEL", "m")


@pytest.fixture
def busy(fake, documents_of):
    make = documents_of
    fake.answers["status"] = make.status(
        db=make.application("db", units=2), app=make.application("app", status="error")
    )
    return fake


# Relations and units.


@pytest.mark.parametrize("verb", ["integrate", "relate"])
def test_integrate(run, fake, verb):
    fake.answers["integrate"] = {}
    result = run(verb, "--model", "other", "a:x", "b")
    assert (result.code, result.out, result.err) == (0, "", "")
    assert fake.params("integrate") == {"model": "other", "endpoints": ["a:x", "b"]}


def test_remove_relation(run, fake):
    fake.answers["remove_relation"] = None
    assert run("remove-relation", "a", "b", "--force").code == 0
    assert fake.params("remove_relation") == {"model": "m", "endpoints": ["a", "b"], "force": True}
    assert run("remove-relation", "4").code == 0
    assert fake.params("remove_relation")["endpoints"] == ["4"]
    assert run("remove-relation", "a").code == 2


def test_add_unit(run, fake):
    fake.answers["add_unit"] = None
    assert run("add-unit", "a", "-n", "3").code == 0
    assert fake.params("add_unit") == {"model": "m", "application": "a", "count": 3}
    assert run("add-unit", "a", "-n", "0").code == 1


def test_what_would_be_removed(run, busy):
    result = run("remove-unit", "db", "--num-units", "2", "--dry-run")
    assert (result.code, result.err) == (0, "will remove unit db/1\nwill remove unit db/0\n")
    result = run("remove-application", "db", "--dry-run")
    assert result.err.splitlines() == [
        "will remove application db",
        "- will remove unit db/0",
        "- will remove unit db/1",
    ]
    assert run("remove-application", "none", "--dry-run").code == 1
    assert run("remove-application", "db", "--no-wait", "--no-prompt").code == 1
    assert set(busy.methods()) == {"status"}


def test_remove_unit(run, fake):
    fake.answers["remove_unit"] = ["a/1"]
    argv = ["remove-unit", "--no-prompt", "a", "--destroy-storage", "--num-units", "2"]
    assert run(*argv).code == 0
    assert fake.params("remove_unit") == {
        "model": "m",
        "application": "a",
        "count": 2,
        "destroy_storage": True,
        "force": False,
    }


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["a/0"], "their units are not removed by name"),
        (["a", "b"], "only a single application"),
        (["a", "--num-units", "0"], "must be at least 1"),
    ],
)
def test_remove_unit_refuses(run, fake, argv, problem):
    result = run("remove-unit", "--no-prompt", *argv)
    assert result.code == 1
    assert problem in result.err
    assert fake.calls == []


def test_removal_asks_first(run, fake):
    fake.answers["remove_application"] = None
    for argv in (["remove-application", "a"], ["remove-unit", "a"]):
        result = run(*argv, stdin="y\n")
        assert result.code == 1
        assert "say --no-prompt" in result.err
    assert fake.calls == []
    assert run("remove-application", "--no-prompt", "a", "b").code == 0
    assert fake.params("remove_application")["applications"] == ["a", "b"]


def test_scale(run, fake):
    fake.answers["scale_application"] = None
    assert run("scale-application", "a", "3").code == 0
    assert fake.params("scale_application") == {"model": "m", "application": "a", "scale": 3}
    for bad in ("-1", "x", "9" * 50):
        result = run("scale-application", "a", "--", bad)
        assert result.code == 1
        assert "invalid scale" in result.err


def test_resolved(run, busy):
    busy.answers["resolved"] = None
    assert run("resolved", "db/0", "--no-retry").code == 0
    assert busy.params("resolved") == {"model": "m", "units": ["db/0"], "retry": False}
    assert run("resolved", "--all").code == 0
    assert busy.params("resolved") == {"model": "m", "units": ["app/0"], "retry": True}
    assert run("resolved").code == 1
    assert run("resolved", "--all", "db/0").code == 1
    assert 'invalid unit name "db"' in run("resolved", "db").err


# Configuration and trust.

CONFIG = {
    "application": "a",
    "charm": "a",
    "application-config": {"trust": {"type": "bool", "value": True}},
    "settings": {
        "n": {"type": "int", "value": 5},
        "b": {"type": "boolean", "value": False},
        "u": {"type": "string"},
    },
}


def test_config_is_shown(run, fake):
    fake.answers["config_get"] = CONFIG
    assert yaml.safe_load(run("config", "a").out) == CONFIG
    assert json.loads(run("config", "a", "--format", "json").out) == CONFIG
    assert run("config", "a", "n").out == "5\n"
    assert run("config", "a", "b").out == "false\n"
    assert run("config", "a", "u").out == ""
    assert run("config", "a", "trust").out == "true\n"
    assert run("config", "a", "n", "--format", "json").out == "5\n"
    result = run("config", "a", "none")
    assert result.code == 1
    assert 'key "none" not found in "a"' in result.err
    assert run("config", "a", "n", "b").code == 1


def test_config_is_set(run, fake, tmp_path):
    fake.answers["config_set"] = None
    (tmp_path / "file").write_text("from a file")
    argv = ["config", "a", "x=1=2", f"y=@{tmp_path}/file", "--reset", "p,q", "--reset", "r"]
    assert run(*argv).code == 0
    assert fake.params("config_set") == {
        "model": "m",
        "application": "a",
        "settings": {"x": "1=2", "y": "from a file"},
        "reset": ["p", "q", "r"],
    }
    (tmp_path / "settings.yaml").write_text("a: {z: 3}")
    assert run("config", "a", "--file", str(tmp_path / "settings.yaml")).code == 0
    assert fake.params("config_set")["settings"] == {"z": 3}


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["a", "x=1", "y"], "cannot get and set"),
        (["a", "x=1", "--reset", "x"], 'key "x" cannot be both set and reset'),
        (["a", "x=@none"], "none: cannot be read"),
        (["a", "--file", "none"], "none: cannot be read"),
    ],
)
def test_config_refuses(run, fake, argv, problem):
    result = run("config", *argv)
    assert result.code == 1
    assert problem in result.err
    assert fake.calls == []


def test_model_config(run, fake):
    document = {"x": {"Value": "5m", "Source": "default"}, "y": {"Value": True, "Source": "model"}}
    fake.answers["model_config"] = document
    assert run("model-config").out == (
        "Attribute  From     Value\nx          default  5m\ny          model    true\n"
    )
    assert json.loads(run("model-config", "--format", "json").out) == document
    assert run("model-config", "y").out == "true\n"
    assert run("model-config", "none").code == 1
    assert run("model-config", "x=1m", "--reset", "y").code == 0
    assert fake.params("model_config") == {"model": "m", "set": {"x": "1m"}, "reset": ["y"]}


def test_trust(run, fake):
    fake.answers["trust"] = None
    assert run("trust", "a", "--scope", "cluster").code == 0
    assert fake.params("trust") == {"model": "m", "application": "a", "remove": False}
    assert run("trust", "a", "--remove").code == 0
    assert fake.params("trust")["remove"] is True
    result = run("trust", "b")
    assert result.code == 1
    assert "trust b --scope=cluster" in result.err


# Actions and commands.


def task(**more):
    return {"id": "4", "status": "completed", "results": {"return-code": 0}, **more}


def test_run(run, busy, tmp_path):
    busy.answers["run"] = {
        "db/0": task(results={"return-code": 0, "a": {"b": "c"}, "stdout": "said\n"}, log=["hi"])
    }
    (tmp_path / "params.yaml").write_text("x: {y: 1}\nz: [1]\n")
    argv = ["run", "db/0", "act", "--params", str(tmp_path / "params.yaml"), "x.w=true", "t=2"]
    result = run(*argv, "--wait", "1m30s")
    assert (result.code, result.out) == (0, "a:\n  b: c\n\nsaid\n")
    assert busy.params("run") == {
        "model": "m",
        "units": ["db/0"],
        "action": "act",
        "params": {"x": {"y": 1, "w": True}, "z": [1], "t": 2},
        "timeout": 90.0,
        "background": False,
    }
    run("run", "db/0", "act", "t=2", "--string-args", "--wait=-1s")
    assert busy.params("run")["params"] == {"t": "2"}
    assert busy.params("run")["timeout"] == -1.0
    run("run", "db/0", "2nd-act", "x=1", "x.2=2")
    assert busy.params("run")["action"] == "2nd-act"
    assert busy.params("run")["params"] == {"x": {"2": 2}}
    assert busy.params("run")["timeout"] == 60.0
    assert json.loads(run("run", "db/0", "act", "--format", "json").out) == busy.answers["run"]


def test_run_on_the_leader_and_several(run, busy):
    busy.answers["run"] = {
        "db/0": task(results={"return-code": 0, "a": "b"}),
        "db/1": task(id="5", status="failed", message="no", results={"return-code": 0}),
    }
    result = run("run", "db/leader", "db/1", "act")
    assert busy.params("run")["units"] == ["db/leader", "db/1"]
    # An action that says that it failed, and ends with 0, is no failure of the command.
    assert result.code == 0
    assert yaml.safe_load(result.out) == {
        "db/0": {"id": "4", "output": "a: b\n", "status": "completed"},
        "db/1": {"id": "5", "output": "", "status": "failed", "message": "no"},
    }


def test_a_failed_task_is_printed_and_the_command_fails(run, busy):
    failed = task(status="failed", message="no good", results={"return-code": 3, "stderr": "why"})
    busy.answers["run"] = {"db/0": failed}
    result = run("run", "db/0", "act", "--format", "json")
    assert result.code == 1
    assert json.loads(result.out) == {"db/0": failed}
    assert result.err == (
        'ERROR the following task failed:\n - id "4" with return code 3\n\n'
        "use 'minijuju show-task' to inspect the failure\n\n"
    )
    assert run("run", "db/0", "act").out == "Action id 4 failed: no good\n\nwhy\n"
    busy.answers["run"]["db/1"] = {**failed, "id": "5"}
    assert "the following tasks failed:" in run("run", "db/0", "db/1", "act").err


def test_what_cannot_be_scheduled_is_no_failure(run, busy):
    for verb, argv in (("run", ["db/9", "act"]), ("exec", ["--unit", "db/9", "--", "true"])):
        busy.answers[verb] = {}
        busy.progress[verb] = ["Operation 1 failed to schedule any tasks:\nunit 'db/9' not found"]
        result = run(verb, *argv)
        assert (result.code, result.out) == (0, "")
        assert "failed to schedule any tasks" in result.err


@pytest.mark.parametrize(
    ("argv", "code", "problem"),
    [
        (["act"], 2, "no unit specified"),
        (["db/0"], 2, "no action specified"),
        (["db/x", "act"], 2, 'invalid unit or action name "db/x"'),
        (["db/0", "app/0", "act"], 2, "all units must be of the same application"),
        (["db/0", "act", "x"], 2, "must be of the form"),
        (["db/0", "act", "X_Y=1"], 2, 'key "X_Y" must start'),
        (["db/0", "act", "x=[1"], 1, "not valid YAML"),
        (["db/0", "act", "--wait", "soon"], 2, "invalid duration 'soon'"),
        (["db/0", "act", "--wait", "5s", "--background"], 2, "both --wait and --background"),
        (["db/0", "act", "--params", "none"], 1, "none: cannot be read"),
    ],
)
def test_run_refuses(run, fake, argv, code, problem):
    result = run("run", *argv)
    assert result.code == code
    assert problem in result.err
    assert fake.calls == []


def test_exec(run, busy):
    busy.answers["exec"] = {"db/0": task(results={"return-code": 0, "stdout": "out"})}
    result = run("exec", "--unit", "db/0", "--wait", "5s", "--", "echo", "--unit", "two words")
    assert (result.code, result.out) == (0, "out\n")
    assert busy.params("exec") == {
        "model": "m",
        "units": ["db/0"],
        "applications": [],
        "command": ["/bin/bash", "-c", "echo --unit 'two words'"],
        "timeout": 5.0,
        "background": False,
    }
    busy.answers["exec"] = {
        "db/10": task(results={"stdout": "ten\n", "stderr": "!"}),
        "db/9": task(id="5", results={"return-code": 2}),
    }
    result = run("exec", "-a", "db", "-u", "db/leader", "echo $HOME; true")
    assert busy.params("exec")["applications"] == ["db"]
    assert busy.params("exec")["units"] == ["db/leader"]
    assert busy.params("exec")["command"][-1] == "echo $HOME; true"
    assert (result.code, result.out) == (1, "db/9:\n\ndb/10:\nten\n!\n\n")


@pytest.mark.parametrize(
    "flags",
    [["--operator"], ["--parallel=false"], ["--execution-group", "night"], ["--parallel"]],
)
def test_exec_takes_what_changes_nothing_on_kubernetes(run, busy, flags):
    busy.answers["exec"] = {"db/0": task(results={"return-code": 0})}
    assert run("exec", *flags, "--unit", "db/0", "ls", "--all=false").code == 0
    assert busy.params("exec")["command"][-1] == "ls --all=false"


@pytest.mark.parametrize(("word", "background"), [("true", True), ("0", False), ("F", False)])
def test_a_flag_can_be_given_a_truth(run, busy, word, background):
    busy.answers["exec"] = {"operation": "1", "tasks": {}}
    if not background:
        busy.answers["exec"] = {"db/0": task(results={"return-code": 0})}
    assert run("exec", f"--background={word}", "--unit", "db/0", "true").code == 0
    assert busy.params("exec")["background"] is background


def test_a_flag_cannot_be_given_anything_else(run, busy):
    result = run("exec", "--background=maybe", "--unit", "db/0", "true")
    assert result.code == 2
    assert 'invalid value "maybe" for flag --background: write true or false' in result.err


def test_exec_refuses(run, fake):
    assert run("exec", "--", "true").code == 2
    assert run("exec", "--unit", "db/0").code == 2
    result = run("exec", "--machine", "0", "true")
    assert (result.code, "has no machines" in result.err) == (1, True)
    assert run("exec", "--all", "--unit", "db/0", "true").code == 2
    result = run("exec", "--unit", "db", "true")
    assert (result.code, '"db" is not a valid unit name' in result.err) == (2, True)
    assert fake.calls == []


def test_exec_as_on_kubernetes(run, busy):
    busy.answers["exec"] = {"db/0": task(results={"return-code": 0})}
    ways = ("--operator", "--parallel", "--parallel=false", "--execution-group=g")
    for way in ways:
        assert run("exec", "-u", "db/0", way, "true").code == 0
        assert busy.params("exec")["units"] == ["db/0"]
    result = run("exec", "--all", "true")
    assert (result.code, "with a caas model" in result.err) == (1, True)
    result = run("exec", "-a", "D_b", "true")
    assert (result.code, '"D_b" is not a valid application name' in result.err) == (2, True)


@pytest.mark.parametrize(
    "argv", [["run", "db/0", "db/1", "act"], ["exec", "--unit", "db/0,db/1", "true"]]
)
def test_in_the_background(run, busy, argv):
    verb, *rest = argv
    busy.answers[verb] = {"operation": "7", "tasks": {"db/0": {"id": "8"}}}
    result = run(verb, "--background", "--format", "json", *rest)
    # Of one task all is said; only several are printed, in YAML whatever the format.
    assert (result.code, result.out) == (0, "")
    assert "Scheduled operation 7 with task 8\n" in result.err
    assert "show-task 8'" in result.err
    busy.answers[verb]["tasks"]["db/1"] = {"id": "9"}
    result = run(verb, "--background", *rest)
    assert yaml.safe_load(result.out) == {"db/0": {"id": "8"}, "db/1": {"id": "9"}}
    assert "Scheduled operation 7 with 2 tasks\n" in result.err
    assert "show-task <id>'" in result.err
    busy.answers[verb] = {"operation": "7", "tasks": {}}
    assert run(verb, "--background", *rest).out == ""


def test_ssh_becomes_the_command(run, busy, monkeypatch):
    seen = {}
    busy.answers["ssh"] = {"argv": ["enter", "it"], "env": {"A": "b"}}

    def become(program, argv, env):
        seen.update(program=program, argv=argv, extra={k: env[k] for k in ("A", "PATH")})
        raise SystemExit(7)

    monkeypatch.setattr(os, "execvpe", become)
    for argv in (
        ["ssh", "--container", "c", "--no-host-key-checks", "ubuntu@db/leader", "ls", "-l", "/"],
        ["ssh", "--container", "c", "db/0", "ls -l", "/"],
    ):
        with pytest.raises(SystemExit):
            run(*argv)
        assert busy.params("ssh") == {
            "model": "m",
            "unit": "db/0",
            "container": "c",
            "command": ["/bin/sh", "-c", "ls -l /"],
        }
    assert seen == {
        "program": "enter",
        "argv": ["enter", "it"],
        "extra": {"A": "b", "PATH": os.environ["PATH"]},
    }
    with pytest.raises(SystemExit):
        run("ssh", "db/0")
    assert busy.params("ssh") == {
        "model": "m",
        "unit": "db/0",
        "container": None,
        "command": [],
    }


def test_ssh_refuses(run, busy):
    assert run("ssh").code == 2
    assert 'unit "db/9" not found' in run("ssh", "db/9", "ls").err
    assert '"0" is not a unit' in run("ssh", "0", "ls").err
    assert run("ssh", "db/0", "-i", "key", "ls").code == 2


# Logs.


def record(**more):
    return {
        "timestamp": 1700000000.5,
        "entity": "db/0",
        "level": "INFO",
        "module": "juju-log",
        "message": "hello \x1b[0m",
        **more,
    }


def test_debug_log(run, fake, monkeypatch):
    fake.items["debug_log"] = [record(), record(entity="controller", level="ERROR")]
    fake.answers["debug_log"] = None
    result = run("debug-log", "--utc", "--date", "--ms")
    assert result.out == (
        "unit-db-0: 2023-11-14 22:13:20.500 INFO juju-log hello \\x1b[0m\n"
        "controller: 2023-11-14 22:13:20.500 ERROR juju-log hello \\x1b[0m\n"
    )
    asked = {"limit": 0, "tail": False, "replay": True, "level": "", "include": [], "exclude": []}
    asked |= {"include_modules": [], "exclude_modules": []}
    assert fake.params("debug_log") == {"model": "m", **asked}


def test_debug_log_as_json_into_a_file(run, fake, tmp_path):
    fake.items["debug_log"] = [record(), record()]
    fake.answers["debug_log"] = None
    argv = ("--include-module", "juju-log,juju", "--exclude-module", "juju.x", "--format", "json")
    assert run("debug-log", *argv, "-o", str(tmp_path / "log")).out == ""
    lines = (tmp_path / "log").read_text().splitlines()
    assert [json.loads(line) for line in lines] == 2 * [
        {
            "timestamp": "2023-11-14T22:13:20.500Z",
            "entity": "unit-db-0",
            "level": "INFO",
            "module": "juju-log",
            "message": "hello \x1b[0m",
        }
    ]
    assert fake.params("debug_log")["include_modules"] == ["juju-log", "juju"]
    assert fake.params("debug_log")["exclude_modules"] == ["juju.x"]


@pytest.mark.parametrize(
    ("argv", "asked"),
    [
        (["--limit", "0"], {"limit": 0, "tail": False, "replay": True}),
        (["--limit", "5"], {"limit": 5, "tail": False, "replay": False}),
        (["--tail"], {"limit": 10, "tail": True, "replay": False}),
        (["--tail", "-n", "3"], {"limit": 3, "tail": True, "replay": False}),
        (["--tail", "--replay"], {"limit": 0, "tail": True, "replay": True}),
        (["-n", "3"], {"limit": 3, "tail": False, "replay": False}),
        (["--level", "warning"], {"level": "WARNING"}),
        (["-i", "a,b", "-i", "c", "-x", "d"], {"include": ["a", "b", "c"], "exclude": ["d"]}),
    ],
)
def test_what_debug_log_asks_for(run, fake, argv, asked):
    fake.answers["debug_log"] = None
    assert run("debug-log", *argv).code == 0
    params = fake.params("debug_log")
    assert {key: params[key] for key in asked} == asked


def test_debug_log_refuses(run, fake):
    assert run("debug-log", "--tail", "--no-tail").code == 2
    assert run("debug-log", "--level", "loud").code == 2


# Details.


def test_show_unit(run, fake):
    document = {
        "a/0": {
            "relation-info": [
                {"endpoint": "x", "application-data": {"k": "v"}, "local-unit": {}},
                {"endpoint": "y", "application-data": {}, "related-units": {}},
            ]
        }
    }
    fake.answers["show_unit"] = document
    assert json.loads(run("show-unit", "a/0", "--format", "json").out) == document
    shown = yaml.safe_load(run("show-unit", "a/0", "--app", "--endpoint", "x").out)
    assert [r["endpoint"] for r in shown["a/0"]["relation-info"]] == ["x"]
    assert "local-unit" not in shown["a/0"]["relation-info"][0]


def test_show_application(run, fake):
    fake.answers["show_application"] = {"a": {"charm": "a"}}
    assert yaml.safe_load(run("show-application", "a").out) == {"a": {"charm": "a"}}


def test_secrets(run, fake):
    document = {"abc": {"revision": 2, "owner": "a", "label": "l", "rotation": "never"}}
    fake.answers["secrets"] = document
    out = run("secrets", "--owner", "a").out
    assert out.splitlines()[1].split() == ["abc", "l", "a", "never", "2"]
    assert fake.params("secrets") == {"model": "m", "owner": "a"}
    assert json.loads(run("secrets", "--format", "json").out) == document
    fake.answers["secrets"] = {}
    assert run("secrets").err == "No secrets to display.\n"
    assert run("secrets", "--format", "json").out == "{}\n"


def test_show_secret(run, fake):
    fake.answers["show_secret"] = {"abc": {"revision": 1}}
    assert run("show-secret", "secret:abc", "--reveal", "--revision", "1").code == 0
    assert fake.params("show_secret") == {
        "model": "m",
        "secret": "secret:abc",
        "reveal": True,
        "revision": 1,
        "revisions": False,
    }
    assert run("show-secret", "abc", "--reveal", "--revisions").code == 1
    fake.answers["show_secret"] = {"x": {"content": {"Data": {"key": "\udcff"}}}}
    for form in ("json", "yaml"):
        shown = run("show-secret", "abc", "--reveal", "--format", form).out
        assert yaml.safe_load(shown)["x"]["content"]["Data"] == {"key": "\ufffd"}


def test_show_status_log(run, fake):
    entry = {"type": "workload", "status": "active", "message": "so\n", "since": "now"}
    fake.answers["show_status_log"] = [entry]
    assert run("show-status-log", "a/0", "-n", "3").out == (
        "Time  Type      Status  Message\nnow   workload  active  so\n"
    )
    kinds = ["workload", "juju-unit", "application"]
    asked = {"model": "m", "entity": "a/0", "limit": 3, "kinds": kinds, "since": 0.0}
    assert fake.params("show_status_log") == asked
    assert run("show-status-log", "a/0", "--type", "juju-unit").code == 0
    assert fake.params("show_status_log") == {**asked, "limit": 20, "kinds": ["juju-unit"]}
    assert run("show-status-log", "a/0", "--from-date", "2026-11-02").code == 0
    assert fake.params("show_status_log")["since"] == 1793577600
    for argv in (["--from-date", "soon"], ["-n", "3", "--days", "2"]):
        assert run("show-status-log", "a/0", *argv).code == 2
    for argv in (["--type", "model"], ["a/0", "--type", "volume"]):
        result = run("show-status-log", *argv)
        assert (result.code, result.err) == (1, "ERROR no status history available\n")
    assert json.loads(run("show-status-log", "a/0", "--format", "json").out) == [entry]


# Waiting.


def test_wait_for(run, fake, documents_of, monkeypatch):
    make = documents_of
    states = iter(["waiting", "waiting", "active"])
    fake.answers["status"] = lambda params: make.status(
        db=make.application("db", status=next(states), message="soon")
    )
    monkeypatch.setattr("minijuju.cli.wait.POLL", 0.001)
    result = run("wait-for", "application", "db")
    assert result.code == 0
    assert result.err == (
        'application "db" is waiting: soon\napplication "db" has reached its goal state\n'
    )


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["unit", "db/0"], 0),
        (["unit", "db/0", "--query", "leader && agent-status=='idle'"], 0),
        (["model", "m"], 0),
        (["model", "m", "--query", "len(applications)==2 && len(units)==3"], 0),
        (["application", "db", "--query", "forEach(units, u => u.workload-status=='active')"], 0),
        (["application", "app", "--timeout", "0s"], 1),
        (["unit", "none/0", "--timeout", "0"], 1),
        (["machine", "0"], 1),
        (["cloud", "x"], 2),
        (["application", "--query", "true"], 2),
        (["application", "db", "--query", "status="], 1),
        (["application", "db", "--query", "none"], 1),
    ],
)
def test_wait_for_what(run, busy, argv, code):
    result = run("wait-for", *argv)
    assert result.code == code, result.err
    if code == 1 and "--timeout" in argv:
        assert "timed out waiting for" in result.err


def test_wait_for_a_model_that_is_not_there(run, fake):
    fake.answers["status"] = {"error": {"code": "not-found", "message": "no model"}}
    result = run("wait-for", "model", "x", "--timeout", "0s")
    assert 'waiting for model "x" to appear' in result.err
    result = run("wait-for", "application", "x", "--timeout", "0s")
    assert result.err == "ERROR no model\n"


# The controller.


def test_version_is_one_that_jubilant_reads(run):
    import jubilant

    plain = run("version").out.strip()
    document = json.loads(run("version", "--format", "json", "--all").out)
    assert document["version"] == plain
    assert jubilant.Version._from_dict(document).tuple == (3, 6, 12)
    assert json.loads(run("version", "--format", "json").out) == plain
    assert run("--version").out.strip() == plain


def test_bootstrap(run, fake, data, tmp_path):
    fake.answers["ping"] = {"pid": 1}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("clusters: [{name: x}]")
    (data / "config.yaml").write_text(f"kubeconfig: {kubeconfig}\nother: 1\n")
    assert run("bootstrap", "--kubeconfig", str(kubeconfig)).code == 0
    assert fake.methods() == ["ping"]
    result = run("bootstrap", "microk8s", "ctl")
    assert (result.code, "cloud microk8s not found" in result.err) == (1, True)
    assert run("bootstrap", "localhost", "ctl").code == 1
    assert run("bootstrap", "localhost", "minijuju").code == 0
    kubeconfig.write_text("a: b")
    assert "names no clusters" in run("bootstrap", "--kubeconfig", str(kubeconfig)).err


def test_bootstrap_keeps_other_settings_and_starts_the_controller_anew(run, fake, data, tmp_path):
    fake.answers["ping"] = {"pid": 1}
    # A process that has ended: there is nothing to wait for.
    pid = os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitpid(pid, 0)
    fake.answers["shutdown"] = {"pid": pid}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("clusters: [{name: x}]")
    (data / "config.yaml").write_text("other: 1\n")
    assert run("bootstrap", "--kubeconfig", str(kubeconfig)).code == 0
    assert fake.methods() == ["shutdown", "ping"]
    assert yaml.safe_load((data / "config.yaml").read_text()) == {
        "other": 1,
        "kubeconfig": str(kubeconfig),
    }
    assert (data / "config.yaml").stat().st_mode & 0o777 == 0o600


def test_shutdown_without_a_controller_starts_none(run, data):
    result = run("shutdown")
    assert (result.code, result.err) == (0, "The controller does not run.\n")
    assert list(data.iterdir()) == []


def test_the_shim(run, data):
    data.rmdir()
    folder = run("shim-path").out.strip()
    assert data.stat().st_mode & 0o777 == 0o700
    assert folder == str(data / "bin")
    script = data / "bin" / "juju"
    assert script.stat().st_mode & 0o777 == 0o700
    assert "/snap/" not in folder
    import subprocess

    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: juju <command>")
