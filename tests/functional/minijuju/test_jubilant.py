"""Juju's verbs as a user's tests call them: an unmodified jubilant with `juju` on PATH."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jubilant
import pytest
import yaml

HERE = Path(__file__).parent
DEMO = HERE / "charms" / "demo"
IMAGE = HERE / "charms" / "image"
RESOURCES = {"image": str(IMAGE)}
DELAY = 0.2
"""Seconds between two looks, where the condition holds only after what is waited for."""
ONCE: Any = {"delay": DELAY, "successes": 1}
"""And where it then goes on to hold: one look is enough."""
PATIENCE = 120


@pytest.fixture(scope="module", autouse=True)
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A controller of its own with `juju` first on PATH; all that it runs ends with it."""
    data = tmp_path_factory.mktemp("minijuju")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIJUJU_DATA", str(data))
        for name in ("JUJU_MODEL", "MINIJUJU_KUBECONFIG"):
            patch.delenv(name, raising=False)
        folder = cli("shim-path").stdout.strip()
        patch.setenv("PATH", folder, prepend=":")
        try:
            yield data
        finally:
            cli("shutdown")


def cli(*argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "minijuju", *argv],
        capture_output=True,
        text=True,
        check=check,
        timeout=PATIENCE,
    )


@pytest.fixture(scope="module")
def juju(controller: Path) -> Iterator[jubilant.Juju]:
    """A model with the demo charm twice: `web`, and `app` that is related to it."""
    with jubilant.temp_model() as juju:
        juju.wait_timeout = PATIENCE
        juju.deploy(DEMO, "web", resources=RESOURCES, config={"workers": 2, "open": True})
        juju.deploy(DEMO, "app", resources=RESOURCES, num_units=2, trust=True)
        juju.integrate("app:up", "web")
        juju.wait(settled, error=jubilant.any_error)
        yield juju


def settled(status: jubilant.Status) -> bool:
    return jubilant.all_active(status) and jubilant.all_agents_idle(status)


def test_juju_is_ours(controller: Path) -> None:
    assert shutil.which("juju") == str(controller / "bin" / "juju")


def test_version() -> None:
    assert jubilant.Juju().version().tuple == (3, 6, 12)


def test_status(juju: jubilant.Juju) -> None:
    status = juju.status()
    assert (status.model.name, status.model.type) == (juju.model, "caas")
    assert (status.model.controller, status.model.model_status.current) == (
        "minijuju",
        "available",
    )
    app = status.apps["app"]
    assert (app.charm_name, app.scale, app.version, app.exposed) == ("demo", 2, "1.0", False)
    assert app.charm.startswith("local:demo-")
    assert app.base == jubilant.statustypes.FormattedBase("ubuntu", "24.04")
    assert app.app_status.message == "level info"
    assert {ep: [r.related_app for r in rs] for ep, rs in app.relations.items()} == {
        "ring": ["app"],
        "up": ["web"],
    }
    assert app.relations["up"][0].interface == "http"
    unit = app.units["app/0"]
    assert unit.is_active
    assert unit.leader
    assert unit.juju_status.current == "idle"
    assert unit.open_ports == ["8080/tcp"]
    assert unit.address.startswith("127.")
    assert not app.units["app/1"].leader
    storage = status.storage.storage["data/0"]
    assert storage.kind == "filesystem"
    assert storage.attachments is not None
    assert list(storage.attachments.units) == ["web/0"]


def test_config(juju: jubilant.Juju) -> None:
    assert juju.config("web") == {
        "level": "info",
        "workers": 2,
        "open": True,
        "fail": False,
    }
    assert juju.config("app", app_config=True)["trust"] is True
    juju.config("web", {"level": "debug", "ratio": 0.5}, reset=["workers", "open"])
    assert juju.config("web") == {
        "level": "debug",
        "workers": 1,
        "open": False,
        "ratio": 0.5,
        "fail": False,
    }
    juju.wait(lambda status: status.apps["web"].app_status.message == "level debug", **ONCE)
    juju.config("web", reset="level")
    juju.wait(lambda status: status.apps["web"].app_status.message == "level info", **ONCE)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"workers": "many"}, 'option "workers" expected int, got "many"'),
        ({"none": 1}, 'unknown option "none"'),
    ],
)
def test_config_of_the_wrong_kind_changes_nothing(
    juju: jubilant.Juju, values: dict[str, jubilant.ConfigValue], problem: str
) -> None:
    before = juju.config("web")
    with pytest.raises(jubilant.CLIError) as caught:
        juju.config("web", {"level": "changed", **values})
    assert problem in caught.value.stderr
    assert caught.value.returncode == 1
    assert juju.config("web") == before


def test_model_config(juju: jubilant.Juju) -> None:
    assert juju.model_config()["update-status-hook-interval"] == "5m"
    juju.model_config({"update-status-hook-interval": "1m"})
    assert juju.model_config()["update-status-hook-interval"] == "1m"
    juju.model_config(reset="update-status-hook-interval")
    assert juju.model_config()["update-status-hook-interval"] == "5m"
    # Juju keeps what nothing reads, with a warning.
    juju.model_config({"none": "1"})
    assert juju.model_config()["none"] == "1"
    juju.model_config(reset="none")
    with pytest.raises(jubilant.CLIError, match="expected a duration"):
        juju.model_config({"update-status-hook-interval": "often"})


def test_show_model(juju: jubilant.Juju) -> None:
    info = juju.show_model()
    assert info.short_name == juju.model
    assert info.name == f"admin/{juju.model}"
    assert (info.type, info.life, info.status.current) == ("kubernetes", "alive", "available")
    assert not info.is_controller


def test_actions(juju: jubilant.Juju) -> None:
    task = juju.run("app/0", "greet", {"name": "me"})
    assert task.success
    assert task.results == {"greeting": "hello me", "nested": {"key": "value"}}
    assert [line.rpartition(" ")[2] for line in task.log] == ["greeting"]
    assert juju.run("app/leader", "greet").results["greeting"] == "hello you"


def test_actions_that_fail(juju: jubilant.Juju) -> None:
    with pytest.raises(jubilant.TaskError) as caught:
        juju.run("app/1", "refuse")
    assert (caught.value.task.status, caught.value.task.message) == ("failed", "not today")
    with pytest.raises(jubilant.TaskError) as caught:
        juju.run("app/1", "crash")
    assert caught.value.task.return_code == 3
    assert caught.value.task.stdout == "about to crash\n"


def test_actions_that_are_not_there(juju: jubilant.Juju) -> None:
    with pytest.raises(ValueError, match="not defined"):
        juju.run("app/0", "none")
    with pytest.raises(ValueError, match="error running action"):
        juju.run("app/9", "greet")
    # As on Juju 3: what cannot be scheduled is told, and the command does not fail.
    with pytest.raises(
        ValueError, match=r'failed to schedule any tasks:\naction "greet": .*unknown'
    ):
        juju.run("app/0", "greet", {"unknown": 1})


def test_an_action_that_takes_too_long(juju: jubilant.Juju) -> None:
    with pytest.raises(TimeoutError):
        juju.run("web/0", "slow", wait=0.5)
    # It goes on, as Juju's does: what comes after waits for it.
    juju.wait(settled)


def test_exec(juju: jubilant.Juju) -> None:
    assert juju.exec("config-get level", unit="app/0").stdout == "info\n"
    assert juju.exec("printf", "%s|", "a b", "c", unit="app/1").stdout == "a b|c|"
    with pytest.raises(jubilant.TaskError) as caught:
        juju.exec("echo no >&2; exit 4", unit="app/0")
    assert (caught.value.task.return_code, caught.value.task.stderr) == (4, "no\n")
    with pytest.raises(ValueError, match="error running command"):
        juju.exec("true", unit="app/9")
    with pytest.raises(TimeoutError):
        juju.exec("sleep 60", unit="app/0", wait=0.5)


def test_ssh(juju: jubilant.Juju) -> None:
    assert juju.ssh("app/0", "cat version") == "1.0\n"
    assert juju.ssh("app/0", "echo $FLAVOUR; ls -d /data", container="server") == "plain\n/data\n"
    assert juju.cli("ssh", "app/leader", "cat", stdin="through\n") == "through\n"
    with pytest.raises(jubilant.CLIError) as caught:
        juju.ssh("app/0", "exit 7")
    assert caught.value.returncode == 7
    with pytest.raises(jubilant.CLIError, match="none"):
        juju.ssh("app/0", "true", container="none")


def test_show_unit(juju: jubilant.Juju) -> None:
    unit = juju.show_unit("app/0")
    assert (unit.leader, unit.opened_ports) == (True, ["8080/tcp"])
    relation = next(info for info in unit.relation_info if info.endpoint == "up")
    assert relation.related_endpoint == "web"
    assert relation.related_units["web/0"].data["url"] == "http://there"
    with pytest.raises(jubilant.CLIError, match="app/9"):
        juju.show_unit("app/9")


def test_secrets(juju: jubilant.Juju) -> None:
    identifier = juju.run("app/leader", "hide").results["id"]
    (secret,) = juju.secrets(owner="app")
    assert secret.uri == identifier
    assert (secret.owner, secret.label, secret.revision) == ("app", "hidden", 1)
    assert juju.secrets(owner="web") == []
    revealed = juju.show_secret(identifier, reveal=True)
    assert revealed.content == {"password": "hunter2"}
    assert "hunter2" not in juju.cli("show-secret", identifier)
    assert juju.show_secret(identifier, revisions=True).revisions is not None


def test_the_log(juju: jubilant.Juju) -> None:
    log = juju.debug_log()
    assert "unit-app-0: " in log
    assert "INFO unit.app/0.juju-log did hooks/install" in log
    ran = 'INFO juju.worker.uniter.operation ran "install" hook (via hook dispatching script: dis'
    assert ran in log
    assert len(juju.debug_log(limit=3).splitlines()) == 3
    only = juju.cli("debug-log", "--replay", "--include", "web/0")
    assert {line.partition(":")[0] for line in only.splitlines()} == {"unit-web-0"}


def test_units_come_and_go(juju: jubilant.Juju) -> None:
    juju.add_unit("app")
    juju.wait(lambda status: len(status.apps["app"].units) == 3 and settled(status), delay=DELAY)
    juju.remove_unit("app", num_units=2)
    juju.wait(
        lambda status: list(status.apps["app"].units) == ["app/0"] and settled(status), delay=DELAY
    )
    juju.cli("scale-application", "app", "2")
    juju.wait(lambda status: len(status.apps["app"].units) == 2 and settled(status), delay=DELAY)
    with pytest.raises(jubilant.CLIError, match="cannot remove"):
        juju.remove_unit("app", num_units=5)


def test_a_unit_that_is_not_ready_gets_no_connections(juju: jubilant.Juju) -> None:
    app, pebble = juju.status().apps["app"], "/charm/bin/pebble"
    for name, unit in app.units.items():
        inside(juju, name, f"mkdir -p /srv && echo {name} > /srv/who && touch /ready")
        server = f"python3 -m http.server 8080 --bind {unit.address} --directory /srv"
        layer = {
            "services": {"who": {"override": "replace", "startup": "enabled", "command": server}},
            "checks": {
                "here": {
                    "override": "replace",
                    "level": "ready",
                    "period": "500ms",
                    "timeout": "400ms",
                    "threshold": 1,
                    "exec": {"command": "test -e /ready"},
                }
            },
        }
        inside(juju, name, f"echo {shlex.quote(json.dumps(layer))} > /layer.yaml")
        inside(juju, name, f"{pebble} add --combine who /layer.yaml && {pebble} replan")

    def answers(wanted: set[str]) -> None:
        """Wait until the application's address leads to these units and no other."""
        deadline = time.monotonic() + PATIENCE
        while (found := {asked(f"http://{app.address}:8080/who") for _ in range(20)}) != wanted:
            assert time.monotonic() < deadline, f"answered by {found}, wanted are {wanted}"
            time.sleep(0.5)

    answers({"app/0", "app/1"})
    inside(juju, "app/0", "rm /ready")
    answers({"app/1"})
    # Where nobody is, all are asked.
    inside(juju, "app/1", "rm /ready")
    answers({"app/0", "app/1"})
    inside(juju, "app/0", "touch /ready")
    answers({"app/0"})
    inside(juju, "app/1", "touch /ready")
    answers({"app/0", "app/1"})
    for name in app.units:
        inside(juju, name, f"{pebble} stop who")


def inside(juju: jubilant.Juju, unit: str, script: str) -> None:
    """Run a script in the workload container of a unit."""
    juju.ssh(unit, script, container="server")


def asked(url: str) -> str:
    """What is answered there, "" while nobody does."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=30) as answer:
            return str(answer.read().decode().strip())
    except OSError:
        return ""


def test_relations_come_and_go(juju: jubilant.Juju) -> None:
    with pytest.raises(jubilant.CLIError, match="already"):
        juju.integrate("app:up", "web:web")
    for pair in (("app:other", "web"), ("app:none", "web"), ("app", "none"), ("app", "app")):
        with pytest.raises(jubilant.CLIError):
            juju.integrate(*pair)
    juju.remove_relation("web", "app")
    juju.wait(lambda status: "up" not in status.apps["app"].relations, **ONCE)
    juju.integrate("web:web", "app:up")
    juju.wait(lambda status: "up" in status.apps["app"].relations and settled(status))


def test_a_failing_hook_is_shown_and_resolved(juju: jubilant.Juju) -> None:
    # Else it may have been tried again, and be well, before it is resolved.
    juju.model_config({"automatically-retry-hooks": False})
    juju.config("web", {"fail": True})
    status = juju.wait(jubilant.any_error)
    unit = status.apps["web"].units["web/0"]
    assert unit.workload_status.message == 'hook failed: "config-changed"'
    juju.config("web", {"fail": False})
    juju.cli("resolved", "web/0")
    juju.wait(settled)
    juju.model_config(reset="automatically-retry-hooks")
    with pytest.raises(jubilant.CLIError, match="not in an"):
        juju.cli("resolved", "web/0")


def test_refresh(juju: jubilant.Juju, tmp_path: Path) -> None:
    charm = tmp_path / "demo"
    shutil.copytree(DEMO, charm)
    (charm / "version").write_text("2.0\n")
    juju.refresh("app", path=charm, config={"level": "newer"})
    juju.wait(lambda status: status.apps["app"].version == "2.0" and settled(status), delay=DELAY)
    assert juju.config("app")["level"] == "newer"
    assert "did hooks/upgrade-charm" in juju.debug_log()


def test_trust(juju: jubilant.Juju) -> None:
    juju.trust("web", scope="cluster")
    assert juju.config("web", app_config=True)["trust"] is True
    juju.trust("web", remove=True)
    assert juju.config("web", app_config=True)["trust"] is False


def test_wait_for(juju: jubilant.Juju) -> None:
    juju.cli("wait-for", "application", "web", "--timeout", f"{PATIENCE}s")
    with pytest.raises(jubilant.CLIError, match="timed out waiting for"):
        juju.cli("wait-for", "application", "web", "--query", 'status=="x"', "--timeout", "100ms")


@contextmanager
def following(juju: jubilant.Juju, verb: str, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on until it is interrupted; it is killed if that takes too long."""
    assert juju.model is not None
    with subprocess.Popen(
        ["juju", verb, "--model", juju.model, *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()


def interrupted(process: subprocess.Popen[str]) -> None:
    """Interrupt it, and see that it ends as it should."""
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.strip() == ""


def test_an_interrupted_watch_ends_with_130(juju: jubilant.Juju) -> None:
    with following(juju, "status", "--watch", "1") as watch:
        assert watch.stdout is not None
        assert watch.stdout.readline().startswith("Model")
        interrupted(watch)


def test_the_log_is_followed(juju: jubilant.Juju) -> None:
    with following(juju, "debug-log", "--tail", "-n", "1") as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline()
        juju.exec("juju-log 'a line of its own'", unit="web/0")
        assert any("a line of its own" in line for line in follower.stdout)
        interrupted(follower)


def test_the_history_of_a_unit(juju: jubilant.Juju) -> None:
    shown = juju.cli("show-status-log", "web/0", "-n", "200")
    assert "active" in shown
    assert "level info" in shown


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["add-machine"], "not supported on container models"),
        (["debug-hooks", "web/0"], "a hook cannot be held open"),
        (["deploy", str(DEMO), "--bind", "x"], "every endpoint is in the one space"),
    ],
)
def test_what_is_not_here_says_why(juju: jubilant.Juju, argv: list[str], reason: str) -> None:
    with pytest.raises(jubilant.CLIError) as caught:
        juju.cli(*argv)
    assert caught.value.returncode == 1
    assert reason in caught.value.stderr


@pytest.mark.parametrize("container", [None, "server"])
def test_scp(juju: jubilant.Juju, tmp_path: Path, container: str | None) -> None:
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "file").write_text("words\n")
    place = "/tmp/tree"
    juju.scp(tmp_path / "tree", f"web/0:{place}", container=container, scp_options=["-r"])
    assert juju.ssh("web/0", f"cat {place}/sub/file", container=container) == "words\n"
    juju.scp(f"web/0:{place}/sub/file", tmp_path / "back", container=container)
    assert (tmp_path / "back").read_text() == "words\n"
    with pytest.raises(jubilant.CLIError, match="cannot copy"):
        juju.scp("web/0:/none", tmp_path / "none", container=container)


def _background(juju: jubilant.Juju, *argv: str) -> tuple[str, dict[str, str]]:
    """Run an action on both units of `app` in the background; the operation, and tasks by unit."""
    made = yaml.safe_load(juju.cli("run", "app/0", "app/1", *argv, "--background"))
    tasks = {unit: task["id"] for unit, task in made.items()}
    listed = json.loads(juju.cli("operations", "--format", "json"))
    (operation,) = (key for key, one in listed.items() if set(one["tasks"]) == set(tasks.values()))
    return operation, tasks


def test_an_operation_on_several_units(juju: jubilant.Juju) -> None:
    operation, tasks = _background(juju, "greet")
    task = tasks["app/0"]
    shown = json.loads(juju.cli("show-task", task, "--wait", "60s", "--format", "json"))
    assert (shown["unit"], shown["results"]["greeting"]) == ("app/0", "hello you")
    shown = yaml.safe_load(juju.cli("show-operation", operation, "--watch"))
    assert (shown["status"], shown["action"]["name"]) == ("completed", "greet")
    assert {one["host"] for one in shown["tasks"].values()} == {"app/0", "app/1"}
    listed = json.loads(
        juju.cli("operations", "--actions", "greet", "--units", "app/1", "--format", "json")
    )
    assert list(listed[operation]["tasks"]) == [tasks["app/1"]]
    assert "greet" in juju.cli("actions", "app")


def test_actions_that_are_cancelled(juju: jubilant.Juju) -> None:
    _, first = _background(juju, "hang")
    operation, second = _background(juju, "greet")
    with pytest.raises(jubilant.CLIError, match="maximum wait time reached"):
        juju.cli("show-task", second["app/0"], "--wait", "100ms")
    with pytest.raises(jubilant.CLIError) as caught:
        juju.cli("run", "app/0", "app/1", "greet", "--wait", "100ms")
    assert "timed out waiting for results from: unit app/0, unit app/1" in caught.value.stderr
    for _, task in _started(juju, first):
        assert task["status"] == "running"
    # What waits is cancelled at once; what runs is aborted as soon as its process is gone.
    said = yaml.safe_load(juju.cli("cancel-task", second["app/1"], first["app/0"], first["app/1"]))
    by_id = {one["id"]: one["status"] for one in said["actions"]}
    assert by_id == {
        second["app/1"]: "cancelled",
        first["app/0"]: "aborting",
        first["app/1"]: "aborting",
    }
    for unit in ("app/0", "app/1"):
        ended = json.loads(
            juju.cli("show-task", first[unit], "--wait", f"{PATIENCE}s", "--format", "json")
        )
        assert (ended["status"], ended["message"]) == ("aborted", "signal: killed")
    shown = yaml.safe_load(juju.cli("show-operation", operation, "--wait", f"{PATIENCE}s"))
    assert shown["status"] == "cancelled"
    assert shown["tasks"][second["app/0"]]["status"] == "completed"
    assert shown["tasks"][second["app/1"]]["message"] == "action cancelled via the API"
    juju.wait(settled)
    assert juju.run("app/0", "greet").success


def _started(juju: jubilant.Juju, tasks: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tasks of units, once each has begun."""
    for unit, number in tasks.items():
        for _ in range(PATIENCE * 10):
            task = json.loads(juju.cli("show-task", number, "--format", "json"))
            if task["status"] != "pending":
                break
            time.sleep(0.1)
        yield unit, task


def test_constraints_and_exposing(juju: jubilant.Juju) -> None:
    juju.model_constraints({"mem": "1G"})
    assert juju.model_constraints()["mem"] == 1024
    juju.model_constraints({})
    with pytest.raises(jubilant.CLIError, match="juju-external-hostname"):
        juju.cli("expose", "web")
    juju.config("web", {"juju-external-hostname": "web.example"})
    juju.cli("expose", "web")
    assert juju.status().apps["web"].exposed
    juju.cli("unexpose", "web")
    assert not juju.status().apps["web"].exposed


def test_an_application_goes_with_what_it_held(juju: jubilant.Juju) -> None:
    juju.deploy(DEMO, "extra", resources=RESOURCES)
    juju.wait(lambda status: jubilant.all_active(status, "extra"), **ONCE)
    juju.remove_application("extra", destroy_storage=True)
    status = juju.wait(lambda status: "extra" not in status.apps, **ONCE)
    attached = [s.attachments for s in status.storage.storage.values() if s.attachments]
    assert not any(u.startswith("extra/") for a in attached for u in a.units)


# Bundles.

BUNDLE = f"""\
bundle: kubernetes
applications:
  front: {{charm: {DEMO}, scale: 1, resources: {{image: {IMAGE}}}}}
  back:
    charm: {DEMO}
    scale: 1
    trust: true
    resources: {{image: {IMAGE}}}
    options: {{workers: 3}}
    storage: {{data: 2G}}
relations:
  - [front:up, back:web]
"""


def test_a_bundle(controller: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle.yaml").write_text(BUNDLE)
    (tmp_path / "overlay.yaml").write_text("applications: {front: {options: {level: loud}}}\n")
    (tmp_path / "bigger.yaml").write_text("applications: {front: {scale: 2}}\n")
    bundle, overlay = tmp_path / "bundle.yaml", tmp_path / "overlay.yaml"
    with jubilant.temp_model() as juju:
        juju.wait_timeout = PATIENCE
        with pytest.raises(jubilant.CLIError, match="--trust"):
            juju.deploy(bundle)
        assert juju.status().apps == {}
        juju.deploy(bundle, overlays=[overlay], trust=True)
        status = juju.wait(settled, error=jubilant.any_error)
        assert set(status.apps) == {"front", "back"}
        assert [r.related_app for r in status.apps["front"].relations["up"]] == ["back"]
        assert juju.config("front")["level"] == "loud"
        assert juju.config("back")["workers"] == 3
        assert juju.config("back", app_config=True)["trust"] is True

        again = ["deploy", str(bundle), "--overlay", str(overlay), "--trust"]
        assert yaml.safe_load(juju.cli("diff-bundle", *again[1:-1])) == {}
        exported = tmp_path / "exported.yaml"
        juju.cli("export-bundle", "--filename", str(exported))
        assert yaml.safe_load(juju.cli("diff-bundle", str(exported))) == {}
        assert "No changes to apply." in stderr(juju, "deploy", str(exported), "--trust")
        assert "No changes to apply." in stderr(juju, *again)
        told = stderr(juju, *again, "--overlay", str(tmp_path / "bigger.yaml"))
        assert "- scale front to 2 units" in told
        juju.wait(
            lambda status: len(status.apps["front"].units) == 2 and settled(status), delay=DELAY
        )


def test_offers_between_models(controller: Path) -> None:
    with jubilant.temp_model() as offering, jubilant.temp_model() as consuming:
        for juju, name in ((offering, "back"), (consuming, "front")):
            juju.wait_timeout = PATIENCE
            juju.deploy(DEMO, name, resources=RESOURCES)
        offering.offer(f"{offering.model}.back", endpoint="web", name="web")
        url = f"admin/{offering.model}.web"
        consuming.consume(f"{offering.model}.web", "pages")
        consuming.integrate("front:up", "pages")
        status = consuming.wait(
            lambda status: settled(status) and status.apps["front"].relations.get("up"),
            error=jubilant.any_error,
        )
        assert status.app_endpoints["pages"].url == url
        assert status.app_endpoints["pages"].relations == {"web": ["front"]}
        offering.wait(lambda status: status.offers["web"].active_connected_count == 1, **ONCE)

        def seen(status: jubilant.Status) -> bool:
            info = consuming.show_unit("front/0").relation_info
            up = next(one for one in info if one.endpoint == "up")
            return up.related_units["pages/0"].data.get("url") == "http://there"

        consuming.wait(seen, **ONCE)

        def joined(status: jubilant.Status) -> bool:
            info = offering.show_unit("back/0").relation_info
            web = next(one for one in info if one.endpoint == "web")
            return [name.partition("-")[0] for name in web.related_units] == ["remote"]

        offering.wait(joined, **ONCE)
        with pytest.raises(jubilant.CLIError, match="offer has 1 relation"):
            offering.cli("remove-offer", url, include_model=False)
        consuming.cli("remove-saas", "pages")
        consuming.wait(lambda status: "pages" not in status.app_endpoints, **ONCE)
        offering.wait(lambda status: not status.offers["web"].total_connected_count, **ONCE)
        offering.cli("remove-offer", url, include_model=False)


STORE = f"""\
channels:
  edge: 8
  stable: {{revision: 7, resources: {{image: 1}}}}
revisions: {{7: {DEMO}, 8: ../newer}}
resources: {{image: {{1: {IMAGE}}}}}
"""


def test_a_charm_store(controller: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    (store / "demo").mkdir(parents=True)
    (store / "demo" / "index.yaml").write_text(STORE)
    shutil.copytree(DEMO, store / "newer")
    (store / "newer" / "version").write_text("8.0\n")
    monkeypatch.setenv("MINIJUJU_CHARM_STORE", str(store))
    with jubilant.temp_model() as juju:
        juju.wait_timeout = PATIENCE
        with pytest.raises(jubilant.CLIError, match="not found in the charm store"):
            juju.deploy("none")
        juju.deploy("demo", channel="stable")
        status = juju.wait(settled, error=jubilant.any_error)
        app = status.apps["demo"]
        assert (app.charm, app.charm_origin) == ("demo", "charmhub")
        assert (app.charm_rev, app.charm_channel) == (7, "latest/stable")
        assert "already up-to-date" in stderr(juju, "refresh", "demo")
        juju.refresh("demo", channel="edge")
        juju.wait(
            lambda status: status.apps["demo"].version == "8.0" and settled(status), delay=DELAY
        )
        bundle = tmp_path / "bundle.yaml"
        bundle.write_text("applications: {demo: {charm: demo, channel: latest/stable}}\n")
        told = stderr(juju, "deploy", str(bundle))
        assert "upgrade demo from charm-hub using charm demo from channel latest/stable" in told
        juju.wait(
            lambda status: status.apps["demo"].version == "1.0" and settled(status), delay=DELAY
        )


def stderr(juju: jubilant.Juju, verb: str, *argv: str) -> str:
    assert juju.model is not None
    return cli(verb, "--model", juju.model, *argv).stderr


@pytest.mark.parametrize(
    ("overlay", "problem"),
    [
        ("applications: {back: {options: {none: 1}}}", 'option "none" not found in charm "demo"'),
        ("applications: {back: {options: {workers: many}}}", 'expected int, got "many"'),
        ("applications: {back: {charm: ./none}}", "does not exist"),
        ("relations: [[front:none, back]]", "cannot infer endpoint between front:none and back"),
        ("machines: {0: {}}", "bundle machines not valid for Kubernetes bundles"),
    ],
)
def test_a_wrong_bundle_changes_nothing(
    juju: jubilant.Juju, tmp_path: Path, overlay: str, problem: str
) -> None:
    (tmp_path / "bundle.yaml").write_text(BUNDLE)
    (tmp_path / "overlay.yaml").write_text(overlay)
    before = set(juju.status().apps)
    with pytest.raises(jubilant.CLIError) as caught:
        juju.deploy(tmp_path / "bundle.yaml", overlays=[tmp_path / "overlay.yaml"], trust=True)
    assert problem in caught.value.stderr
    assert set(juju.status().apps) == before
