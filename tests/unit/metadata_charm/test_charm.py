"""From the world to the workload, and what the unit says of it."""

import dataclasses
import json
import shlex

import ops
import pytest
from ops import pebble, testing

from .conftest import BIND, INGRESS, context_for, status_of_service, with_config


def command(state):
    return shlex.split(state.get_container("metadata").plan.services["metadata"].command)


def option(state, name):
    words = command(state)
    return [words[at + 1] for at, word in enumerate(words) if word == name]


def token_of(state):
    (secret,) = state.secrets
    return secret.tracked_content["token"]


def test_all_is_well(running, context, server):
    assert running.unit_status == ops.ActiveStatus()
    assert running.workload_version == "3.17.2"
    assert running.opened_ports == {testing.TCPPort(5000)}
    assert status_of_service(running) is pebble.ServiceStatus.ACTIVE
    assert option(running, "--address") == [BIND]
    assert option(running, "--workers") == ["1"]
    assert option(running, "--log-level") == ["info"]
    assert option(running, "--artifact-root") == ["artifacts"]
    assert {INGRESS, "metadata", "metadata.ml.svc.cluster.local"} <= set(
        option(running, "--allowed-host")
    )
    checks = running.get_container("metadata").plan.checks
    assert checks["alive"].http == {"url": f"http://{BIND}:5000/health"}
    assert checks["ready"].http == {"url": f"http://{BIND}:5000/ready"}
    assert (f"http://{BIND}:5000/version", token_of(running)) in server.asked


def test_the_token_is_a_secret_of_the_application_and_a_private_file(running, tmp_path):
    (secret,) = running.secrets
    assert secret.owner == "app"
    assert len(token_of(running)) >= 40
    file = tmp_path / "tokens"
    assert file.read_text() == f"main:{token_of(running)}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert token_of(running) not in " ".join(command(running))
    assert all(token_of(running) not in str(relation) for relation in running.relations)


def test_an_event_that_changes_nothing_touches_nothing(context, running, monkeypatch):
    touched = []
    for name in ("push", "replan", "restart", "stop", "add_layer", "start"):
        monkeypatch.setattr(
            ops.Container, name, lambda *args, _name=name, **kwargs: touched.append(_name)
        )
    again = context.run(context.on.update_status(), running)
    assert again.unit_status == ops.ActiveStatus()
    assert touched == []
    assert token_of(again) == token_of(running)


def test_a_token_file_that_others_may_read_is_made_private_again(context, running, tmp_path):
    (tmp_path / "tokens").chmod(0o644)
    context.run(context.on.update_status(), running)
    assert (tmp_path / "tokens").stat().st_mode & 0o777 == 0o600


def test_a_changed_option_reaches_the_server(context, running):
    changed = with_config(running, log_level="debug", workers=3, allowed_hosts="a.b, *.c:80")
    after = context.run(context.on.config_changed(), changed)
    assert option(after, "--log-level") == ["debug"]
    assert option(after, "--workers") == ["3"]
    assert {"a.b", "*.c:80"} <= set(option(after, "--allowed-host"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"log_level": "loud"}, "log-level"),
        ({"workers": 0}, "workers"),
        ({"workers": 65}, "workers"),
        ({"allowed_hosts": "http://a"}, "allowed-hosts"),
        ({"allowed_hosts": "a b"}, "allowed-hosts"),
        ({"allowed_hosts": "a.*.b"}, "allowed-hosts"),
        ({"artifact_root": "../x"}, "artifact-root"),
        ({"artifact_root": "/x"}, "artifact-root"),
        ({"artifact_root": ""}, "artifact-root"),
    ],
)
def test_wrong_config_blocks_and_names_the_option(context, running, options, named):
    after = context.run(context.on.config_changed(), with_config(running, **options))
    assert isinstance(after.unit_status, ops.BlockedStatus)
    assert named in after.unit_status.message
    assert status_of_service(after) is pebble.ServiceStatus.ACTIVE
    assert command(after) == command(running)


def test_several_wrong_options_are_all_named(context, running):
    after = context.run(
        context.on.config_changed(), with_config(running, workers=0, log_level="loud")
    )
    assert "workers" in after.unit_status.message
    assert "log-level" in after.unit_status.message
    assert "found 0" in after.unit_status.message


def test_the_last_good_config_outlives_the_pod(context, state, container, running):
    good = context.run(context.on.config_changed(), with_config(running, workers=2))
    wrong = with_config(good, workers=0)
    # A new pod: an empty container beside the same databags and secrets.
    fresh = dataclasses.replace(wrong, containers=[container])
    after = context.run(context.on.pebble_ready(container), fresh)
    assert isinstance(after.unit_status, ops.BlockedStatus)
    assert option(after, "--workers") == ["2"]
    assert status_of_service(after) is pebble.ServiceStatus.ACTIVE


def test_config_that_is_wrong_from_the_start_runs_nothing(context, state):
    after = context.run(context.on.config_changed(), with_config(state, workers=0))
    assert "workers" in after.unit_status.message
    assert after.get_container("metadata").plan.services == {}


def test_a_kept_config_that_a_refreshed_charm_no_longer_knows_is_not_used(context, state, peers):
    kept = dataclasses.replace(peers, local_unit_data={"options": json.dumps({"gone": 1})})
    wrong = with_config(dataclasses.replace(state, relations=[kept]), workers=0)
    after = context.run(context.on.config_changed(), wrong)
    assert "workers" in after.unit_status.message
    assert after.get_container("metadata").plan.services == {}


def test_mended_config_unblocks(context, running):
    wrong = context.run(context.on.config_changed(), with_config(running, workers=0))
    after = context.run(context.on.config_changed(), with_config(wrong, workers=1))
    assert after.unit_status == ops.ActiveStatus()


def test_waits_for_the_container(context, state, container):
    absent = dataclasses.replace(
        state, containers=[dataclasses.replace(container, can_connect=False)]
    )
    after = context.run(context.on.install(), absent)
    assert after.unit_status == ops.WaitingStatus("the container is not up yet")


def test_waits_for_the_storage(context, state, container):
    after = context.run(
        context.on.pebble_ready(container), dataclasses.replace(state, storages=[])
    )
    assert after.unit_status == ops.WaitingStatus("the storage data is not attached yet")
    assert after.get_container("metadata").plan.services == {}


def test_waits_for_the_server_and_recovers_by_its_check(context, state, container, server):
    server.ready = False
    after = context.run(context.on.pebble_ready(container), state)
    assert after.unit_status == ops.WaitingStatus("the workload does not answer yet")
    server.ready = True
    info = testing.CheckInfo("ready", level=pebble.CheckLevel.READY, threshold=2)
    up = dataclasses.replace(after.get_container("metadata"), check_infos={info})
    recovered = context.run(
        context.on.pebble_check_recovered(up, info), dataclasses.replace(after, containers=[up])
    )
    assert recovered.unit_status == ops.ActiveStatus()
    assert recovered.workload_version == "3.17.2"


def with_check(state, status):
    (info,) = (i for i in state.get_container("metadata").check_infos if i.name == "ready")
    found = dataclasses.replace(info, status=status, failures=info.threshold)
    container = state.get_container("metadata")
    others = {each for each in container.check_infos if each.name != "ready"}
    changed = dataclasses.replace(container, check_infos={*others, found})
    return dataclasses.replace(state, containers=[changed])


def test_a_server_that_pebble_brings_back_is_waited_for(context, running, server):
    """Its check may not fail meanwhile, and then no event tells that it answers again."""
    server.silent = 5
    after = context.run(context.on.update_status(), running)
    assert after.unit_status == ops.ActiveStatus()


def test_a_server_whose_check_has_failed_is_not_waited_for(context, running, server):
    server.ready = False
    server.asked.clear()
    down = with_check(running, pebble.CheckStatus.DOWN)
    after = context.run(context.on.update_status(), down)
    assert after.unit_status == ops.WaitingStatus("the workload does not answer yet")
    assert len(server.asked) == 1


def test_a_server_that_ends_at_once_is_said_so(context, state, container, server, monkeypatch):
    server.ready = False
    running = {"metadata": pebble.ServiceStatus.ERROR}

    def replan(self):
        monkeypatch.setattr(
            ops.Container,
            "get_services",
            lambda self, *names: {
                name: pebble.ServiceInfo(name, pebble.ServiceStartup.ENABLED, status)
                for name, status in running.items()
            },
        )

    monkeypatch.setattr(ops.Container, "replan", replan)
    after = context.run(context.on.pebble_ready(container), state)
    assert isinstance(after.unit_status, ops.BlockedStatus)
    assert "pebble logs" in after.unit_status.message


def test_a_service_that_pebble_cannot_start_is_said_so(context, state, container, monkeypatch):
    def replan(self):
        raise pebble.ChangeError(
            "exited quickly with code 2",
            pebble.Change.from_dict(
                {
                    "id": "1",
                    "kind": "replan",
                    "summary": "",
                    "status": "Error",
                    "ready": True,
                    "spawn-time": "2026-01-01T00:00:00Z",
                }
            ),
        )

    monkeypatch.setattr(ops.Container, "replan", replan)
    after = context.run(context.on.pebble_ready(container), state)
    assert isinstance(after.unit_status, ops.BlockedStatus)


def test_a_second_unit_is_blocked_and_stays_out_of_the_service(charm, state, container, tmp_path):
    context = context_for(charm, unit=1)
    secret = testing.Secret({"token": "t" * 43}, label="token", owner="app")
    second = dataclasses.replace(state, leader=False, secrets=[secret])
    after = context.run(context.on.pebble_ready(container), second)
    assert after.unit_status == ops.BlockedStatus(
        "the storage serves one unit; run `juju scale-application metadata 1`"
    )
    found = after.get_container("metadata")
    assert found.service_statuses.get("metadata") is not pebble.ServiceStatus.ACTIVE
    assert found.plan.services["metadata"].startup == "disabled"
    assert found.plan.checks["alive"].startup is pebble.CheckStartup.DISABLED
    assert found.plan.checks["ready"].startup is pebble.CheckStartup.ENABLED
    assert not (tmp_path / "tokens").exists()
    # Once more: nothing new happens.
    again = context.run(context.on.update_status(), after)
    assert again.unit_status == after.unit_status


def test_a_follower_waits_for_the_leaders_token(context, state, container):
    after = context.run(
        context.on.pebble_ready(container), dataclasses.replace(state, leader=False)
    )
    assert after.unit_status == ops.WaitingStatus("the leader has not made the token yet")
    assert not list(after.secrets)


def test_the_address_and_a_granted_secret_go_over_the_relation(context, running):
    relation = testing.Relation("metadata", remote_app_name="pipelines")
    related = dataclasses.replace(running, relations=[*running.relations, relation])
    after = context.run(context.on.relation_created(relation), related)
    bag = after.get_relation(relation.id).local_app_data
    (secret,) = after.secrets
    assert json.loads(bag["url"]) == f"http://{INGRESS}:5000"
    assert json.loads(bag["schema_version"]) == 1
    assert json.loads(bag["secret_id"]) == secret.id
    assert token_of(after) not in str(bag)
    assert secret.remote_grants == {relation.id: {"pipelines"}}


def test_every_relation_is_told(context, running):
    relations = [testing.Relation("metadata", remote_app_name=name) for name in ("a", "b")]
    related = dataclasses.replace(running, relations=[*running.relations, *relations])
    after = context.run(context.on.update_status(), related)
    for relation in relations:
        assert "url" in after.get_relation(relation.id).local_app_data
    (secret,) = after.secrets
    assert set(secret.remote_grants) == {relation.id for relation in relations}


def test_get_token_shows_the_token_and_its_use(context, running):
    context.run(context.on.action("get-token"), running)
    results = context.action_results
    assert results["token"] == token_of(running)
    assert results["url"] == f"http://{INGRESS}:5000"
    assert token_of(running) in results["python"]
    assert "password" in results["browser"]


def test_get_token_before_there_is_one_fails(context, state):
    with pytest.raises(testing.ActionFailed, match="leader has not made the token"):
        context.run(context.on.action("get-token"), dataclasses.replace(state, leader=False))


def test_an_action_leaves_the_status_alone(context, running, server):
    server.ready = False
    after = context.run(context.on.action("get-token"), running)
    assert after.unit_status == ops.ActiveStatus()


@pytest.mark.parametrize("event", ["stop", "remove"])
def test_nothing_is_started_while_the_unit_goes_away(context, state, event):
    after = context.run(getattr(context.on, event)(), state)
    assert after.get_container("metadata").plan.services == {}
