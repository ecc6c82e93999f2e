"""From the world to the workload, and what the unit says of it."""

from __future__ import annotations

import base64
import dataclasses
import json
import re

import ops
import pytest
import yaml
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import PersistentVolumeClaim, Pod, ResourceQuota
from lightkube.resources.scheduling_v1 import PriorityClass
from ops import pebble, testing

from toolkit_pipelines import app
from toolkit_pipelines import settings as workload_settings
from toolkit_pipelines.imagemap import ImageMap

FOLDER_OF = {"state": "/state", "pipeline_root": "/pipeline-root", "environments": "/environments"}


def with_config(state, **options):
    named = {name.replace("_", "-"): value for name, value in options.items()}
    return dataclasses.replace(state, config={**state.config, **named})


def status_of_service(state):
    return state.get_container("pipelines").service_statuses["pipelines"]


def token_of(state):
    (secret,) = (each for each in state.secrets if each.label == "token")
    return secret.tracked_content["token"]


def test_all_is_well(running, settings):
    assert running.unit_status == ops.ActiveStatus()
    assert running.workload_version == "0.1.0"
    assert running.opened_ports == {testing.TCPPort(8888)}
    assert status_of_service(running) is pebble.ServiceStatus.ACTIVE
    found = settings()
    assert found["host"] == "10.1.2.3"
    assert found["pipeline_root_claim"] == "pipelines-pipeline-root-1a2b3c4d-pipelines-0"
    assert found["environments_claim"] == "pipelines-environments-1a2b3c4d-pipelines-0"
    assert found["step_image"] == "process.local/step@sha256:0123"
    assert found["namespace"] == "ml"
    assert {"10.152.183.9", "pipelines", "pipelines.ml.svc.cluster.local"} <= set(
        found["allowed_hosts"]
    )
    assert found.items() >= FOLDER_OF.items()
    assert "metadata_url" not in found
    assert "app.kubernetes.io/managed-by=juju" in found["reserved_labels"]
    checks = running.get_container("pipelines").plan.checks
    assert checks["alive"].http == {"url": "http://10.1.2.3:8888/livez"}
    assert checks["ready"].http == {"url": "http://10.1.2.3:8888/healthz"}


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 0), ("90m", 5400), ("12h", 43_200), ("2w", 1_209_600)]
)
def test_how_long_results_are_taken(context, running, settings, text, seconds):
    context.run(context.on.config_changed(), with_config(running, cache_ttl=text))
    assert settings()["cache_ttl"] == seconds


def test_the_longest_time_is_taken_by_the_workload(context, running, settings):
    context.run(context.on.config_changed(), with_config(running, cache_ttl="9999w"))
    assert workload_settings.from_data(settings()).cache_ttl == settings()["cache_ttl"]


def test_the_workload_accepts_the_settings(running, settings):
    found = workload_settings.from_data(settings())
    assert (found.caching, found.cache_ttl) == (True, 0)
    assert (found.run_retention, found.run_retention_count) == (0, 0)
    assert found.port == 8888
    assert found.parallelism == 16


def test_the_token_is_a_secret_of_the_application_and_a_private_file(running, etc):
    token = token_of(running)
    assert len(token) >= 40
    assert (etc / "tokens").read_text() == f"main:{token}\n"
    assert (etc / "tokens").stat().st_mode & 0o777 == 0o600
    assert token not in (etc / "settings.yaml").read_text()
    plan = running.get_container("pipelines").plan
    assert token not in str(plan.to_dict())


def test_an_event_that_changes_nothing_touches_nothing(context, running, monkeypatch):
    touched = []
    for name in ("push", "replan", "restart", "stop", "add_layer", "start"):
        monkeypatch.setattr(
            ops.Container, name, lambda *args, _name=name, **kwargs: touched.append(_name)
        )
    again = context.run(context.on.update_status(), running)
    assert again.unit_status == ops.ActiveStatus()
    assert touched == []


HOOK_KEY = f"whsec_{base64.b64encode(b'k' * 32).decode()}"


def test_every_option_reaches_the_workload(context, running, settings, meta, kubeconfig):
    keys = testing.Secret({"access-key": "a", "secret-key": "s"}, owner=None)
    hook = testing.Secret({"key": HOOK_KEY}, owner=None)
    changed = with_config(
        dataclasses.replace(running, secrets=[*running.secrets, kubeconfig, keys, hook]),
        kubeconfig=kubeconfig.id,
        artifact_store="s3://bucket/prefix?region=eu-west-1",
        artifact_store_credentials=keys.id,
        log_level="debug",
        parallelism=3,
        caching=False,
        cache_ttl="30d",
        run_retention="2w",
        run_retention_count=100,
        failure_webhook="https://user:sesame@hooks.example.com/x",
        failure_webhook_key=hook.id,
        allowed_hosts="a.b, *.c:80",
        default_cpu="500m",
        default_memory="2Gi",
        package_index="https://pypi.example.com/simple",
        offline=True,
        environments_limit="20Gi",
        image_map='{"python:3.11": "a/python:1", "docker.io/*": "mirror.example.com/*"}',
        gpu_mode="dra",
        gpu_resource="nvidia.com/mig-1g.10gb",
        gpu_count=2,
        gpu_memory="8Gi",
        device_class="mig.nvidia.com",
        node_selector="{pool: gpu}",
        tolerations="[{key: nvidia.com/gpu, operator: Exists}]",
        affinity="{nodeAffinity: {}}",
        runtime_class="nvidia",
        priority_class="batch",
        queue="ml",
        shm_size="1Gi",
        priority=-10,
        quota_gpu=4,
        cpu="2",
        memory="1Gi",
        artifact_transfer="endpoint",
        artifact_address="http://ml.example.com:8080/",
    )
    assert set(changed.config) == set(meta["config"]["options"])
    context.run(context.on.config_changed(), changed)
    found = settings()
    assert (found["log_level"], found["parallelism"]) == ("debug", 3)
    assert (found["caching"], found["cache_ttl"]) == (False, 30 * 24 * 3600)
    assert (found["run_retention"], found["run_retention_count"]) == (14 * 24 * 3600, 100)
    assert {"a.b", "*.c:80"} <= set(found["allowed_hosts"])
    assert (found["default_cpu"], found["default_memory"]) == ("500m", "2Gi")
    assert (found["index_url"], found["offline"]) == ("https://pypi.example.com/simple", True)
    assert found["environments_limit"] == "20Gi"
    images = ImageMap.read(workload_settings.from_data(found).image_map)
    assert images.of("docker.io/b:2") == "mirror.example.com/b:2"
    options = app.pod_options(workload_settings.from_data(found))
    assert (options.gpus.mode, options.gpus.resource) == ("dra", "nvidia.com/mig-1g.10gb")
    assert (options.gpus.count, options.gpus.memory) == (2, "8Gi")
    assert options.gpus.device_class == "mig.nvidia.com"
    assert options.placement.node_selector == {"pool": "gpu"}
    assert options.placement.tolerations == ({"key": "nvidia.com/gpu", "operator": "Exists"},)
    assert options.placement.affinity == {"nodeAffinity": {}}
    assert options.placement.runtime_class == "nvidia"
    assert options.placement.priority_class == "batch"
    assert (options.queue, options.shm_size) == ("ml", "1Gi")
    assert options.service_account == "pipelines-steps"
    assert found["kubeconfig"] == "/etc/toolkit-pipelines/kubeconfig"
    assert found["artifact_transfer"] == "store"
    assert found["artifact_store"] == "s3://bucket/prefix?region=eu-west-1"
    assert found["artifact_store_credentials"] == "/etc/toolkit-pipelines/artifact-store"
    assert found["failure_webhook_file"] == "/etc/toolkit-pipelines/failure-webhook"
    assert found["failure_webhook_key_file"] == "/etc/toolkit-pipelines/failure-webhook-key"
    assert found["url"] == "http://10.152.183.9:8888"
    assert found["artifact_address"] == "http://ml.example.com:8080"
    assert "ml.example.com:8080" in found["allowed_hosts"]


KUBECONFIG = {
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "steps"}}],
    "clusters": [{"name": "k", "cluster": {"server": "https://10.0.0.9:6443"}}],
    "users": [{"name": "u", "user": {"token": "of-the-cluster"}}],
}


@pytest.fixture
def kubeconfig():
    return testing.Secret({"kubeconfig": yaml.safe_dump(KUBECONFIG)}, owner=None)


def elsewhere(state, secret, **options):
    """The state with steps in another cluster."""
    state = dataclasses.replace(state, secrets=[*state.secrets, secret])
    return with_config(state, kubeconfig=secret.id, artifact_transfer="endpoint", **options)


def test_steps_in_another_cluster(context, related, container, settings, etc, cluster, kubeconfig):
    cluster.secrets["pipelines-metadata"] = {"token": "of an earlier config"}
    found = context.run(context.on.pebble_ready(container), elsewhere(related, kubeconfig))
    assert found.unit_status == ops.ActiveStatus()
    assert (etc / "kubeconfig").stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load((etc / "kubeconfig").read_text()) == KUBECONFIG
    assert "of-the-cluster" not in (etc / "settings.yaml").read_text()
    workload_settings.from_data(settings())
    # MLflow's token is where the steps are, and nowhere else.
    assert cluster.elsewhere.namespace == "steps"
    assert cluster.elsewhere.secrets == {"pipelines-metadata": {"token": "m" * 43}}
    assert cluster.secrets == {}
    removed = dataclasses.replace(found, planned_units=0)
    context.run(context.on.remove(), removed)
    assert cluster.elsewhere.secrets == {}


SERVER = "https://10.0.0.9:6443"
OTHER = "https://10.0.0.8:6443"


def kubeconfig_of(server, token="of-the-cluster"):
    cluster = {"name": "k", "cluster": {"server": server}}
    user = {"name": "u", "user": {"token": token}}
    return yaml.safe_dump({**KUBECONFIG, "clusters": [cluster], "users": [user]})


def remembered(state):
    """What the charm keeps of clusters, if it does."""
    found = [each for each in state.secrets if each.label == "clusters"]
    return json.loads(found[0].latest_content["clusters"]) if found else None


def pod_of_a_step():
    return Pod(
        metadata=ObjectMeta(name="step", labels={"toolkit.canonical.com/pipelines": "pipelines"})
    )


@pytest.fixture
def away(context, related, container, cluster, kubeconfig):
    """The state with steps in another cluster, where one runs."""
    found = context.run(
        context.on.pebble_ready(container), elsewhere(related, kubeconfig, priority=5)
    )
    cluster.elsewhere.kept[Pod, "step"] = pod_of_a_step()
    assert cluster.elsewhere.secrets
    return found


def home(state):
    """The state with steps in this cluster; the secret that named the other one is gone."""
    config = {key: value for key, value in state.config.items() if key != "kubeconfig"}
    secrets = [each for each in state.secrets if "kubeconfig" not in each.latest_content]
    return dataclasses.replace(state, config=config, secrets=secrets)


def test_what_was_made_here_goes_when_steps_move_away(
    context, related, container, cluster, kubeconfig
):
    found = context.run(context.on.pebble_ready(container), with_config(related, priority=5))
    cluster.kept[Pod, "step"] = pod_of_a_step()
    assert cluster.secrets
    found = context.run(context.on.config_changed(), elsewhere(found, kubeconfig))
    assert found.unit_status == ops.ActiveStatus()
    assert (cluster.secrets, cluster.kept) == ({}, {})
    assert ("ServiceAccount", "pipelines-steps") in kept(cluster.elsewhere)


def test_what_was_made_elsewhere_goes_when_steps_come_back(context, away, cluster, settings):
    found = context.run(context.on.config_changed(), home(away))
    assert found.unit_status == ops.ActiveStatus()
    assert (cluster.elsewhere.secrets, cluster.elsewhere.kept) == ({}, {})
    assert cluster.secrets == {"pipelines-metadata": {"token": "m" * 43}}
    assert "kubeconfig" not in settings()
    assert remembered(found) == {"current": "", "left": []}


def test_credentials_that_are_not_needed_any_more_are_kept_nowhere(context, away):
    found = context.run(context.on.config_changed(), home(away))
    (secret,) = (each for each in found.secrets if each.label == "clusters")
    context.run(context.on.secret_remove(secret, revision=1), found)
    assert context.removed_secret_revisions == [1]


def test_from_one_cluster_to_another(context, away, cluster):
    other = testing.Secret({"kubeconfig": kubeconfig_of(OTHER)}, owner=None)
    found = context.run(context.on.config_changed(), elsewhere(home(away), other))
    assert found.unit_status == ops.ActiveStatus()
    assert (cluster.elsewhere.secrets, cluster.elsewhere.kept) == ({}, {})
    assert cluster.other(OTHER).secrets == {"pipelines-metadata": {"token": "m" * 43}}
    assert remembered(found) == {"current": kubeconfig_of(OTHER), "left": []}
    context.run(context.on.remove(), dataclasses.replace(home(found), planned_units=0))
    assert (cluster.other(OTHER).secrets, cluster.other(OTHER).kept) == ({}, {})


def test_other_credentials_for_the_same_cluster_move_nothing(context, away, cluster):
    renewed = testing.Secret({"kubeconfig": kubeconfig_of(f"{SERVER}/", "renewed")}, owner=None)
    found = context.run(context.on.config_changed(), elsewhere(home(away), renewed))
    assert ("Pod", "step") in kept(cluster.elsewhere)
    assert cluster.elsewhere.secrets
    assert remembered(found)["current"] == kubeconfig_of(f"{SERVER}/", "renewed")
    assert remembered(found)["left"] == []


def test_a_cluster_that_does_not_answer_is_told_and_cleared_later(context, away, cluster):
    cluster.elsewhere.away = True
    found = context.run(context.on.config_changed(), home(away))
    left = f"stay in the namespace steps of {SERVER}: nobody there"
    assert found.unit_status == ops.ActiveStatus(f"pods, secrets and manifests of steps {left}")
    assert any(left in line.message for line in context.juju_log)
    again = context.run(context.on.update_status(), found)
    assert again.unit_status == found.unit_status
    cluster.elsewhere.away = False
    after = context.run(context.on.update_status(), again)
    assert after.unit_status == ops.ActiveStatus()
    assert (cluster.elsewhere.secrets, cluster.elsewhere.kept) == ({}, {})
    assert remembered(after) == {"current": "", "left": []}


def test_a_cluster_that_refuses_is_told(context, away, cluster):
    cluster.elsewhere.trusted = False
    found = context.run(context.on.config_changed(), home(away))
    assert isinstance(found.unit_status, ops.ActiveStatus)
    assert f"stay in the namespace steps of {SERVER}: " in found.unit_status.message


def test_a_cluster_that_is_gone_for_good_is_forgotten_on_demand(context, away, cluster):
    cluster.elsewhere.away = True
    found = context.run(context.on.config_changed(), home(away))
    found = context.run(context.on.action("forget-clusters"), found)
    assert context.action_results == {"forgotten": f"the namespace steps of {SERVER}"}
    after = context.run(context.on.update_status(), found)
    assert after.unit_status == ops.ActiveStatus()
    context.run(context.on.action("forget-clusters"), after)
    assert context.action_results == {"forgotten": "none"}
    follower = dataclasses.replace(after, leader=False)
    with pytest.raises(testing.ActionFailed, match="leader"):
        context.run(context.on.action("forget-clusters"), follower)


def test_back_to_a_cluster_that_was_away_leaves_what_is_there(context, away, cluster, kubeconfig):
    cluster.elsewhere.away = True
    found = context.run(context.on.config_changed(), home(away))
    cluster.elsewhere.away = False
    found = context.run(context.on.config_changed(), elsewhere(found, kubeconfig))
    assert cluster.elsewhere.secrets
    assert remembered(found)["left"] == []


def test_one_namespace_by_two_addresses_keeps_what_steps_need(context, away, cluster):
    cluster.others[OTHER] = cluster.elsewhere
    other = testing.Secret({"kubeconfig": kubeconfig_of(OTHER)}, owner=None)
    context.run(context.on.config_changed(), elsewhere(home(away), other))
    assert cluster.elsewhere.secrets == {"pipelines-metadata": {"token": "m" * 43}}
    assert ("ServiceAccount", "pipelines-steps") in kept(cluster.elsewhere)


def test_a_follower_clears_nothing(context, away, cluster):
    found = context.run(context.on.config_changed(), dataclasses.replace(home(away), leader=False))
    assert cluster.elsewhere.secrets
    assert remembered(found)["left"] == []


def test_removal_tells_what_stays_elsewhere(context, away, cluster):
    cluster.elsewhere.away = True
    context.run(context.on.remove(), dataclasses.replace(home(away), planned_units=0))
    left = f"stay in the namespace steps of {SERVER}: nobody there"
    assert any(left in line.message for line in context.juju_log)


def test_another_cluster_cannot_mount_the_storage(context, state, container, kubeconfig):
    wrong = with_config(elsewhere(state, kubeconfig), artifact_transfer="volume")
    found = context.run(context.on.pebble_ready(container), wrong)
    assert isinstance(found.unit_status, ops.BlockedStatus)
    assert "artifact-transfer=endpoint" in found.unit_status.message


PLUGIN = {"apiVersion": "client.authentication.k8s.io/v1", "command": "x"}


@pytest.mark.parametrize(
    "text",
    [
        *(" ", "- a", "a: [", "current-context: c"),
        yaml.safe_dump({**KUBECONFIG, "users": [{"name": "u", "user": {"exec": {}}}]}),
        yaml.safe_dump({**KUBECONFIG, "users": [{"name": "u", "user": {"exec": PLUGIN}}]}),
    ],
)
def test_a_kubeconfig_that_cannot_be_used(context, state, container, text):
    secret = testing.Secret({"kubeconfig": text}, owner=None)
    found = context.run(context.on.pebble_ready(container), elsewhere(state, secret))
    assert isinstance(found.unit_status, ops.BlockedStatus)
    assert found.unit_status.message.startswith("config kubeconfig: ")


def test_a_secret_that_was_not_granted_or_has_no_kubeconfig(context, state, container):
    other = testing.Secret({"other": "x"}, owner=None)
    found = context.run(context.on.pebble_ready(container), elsewhere(state, other))
    assert "has no key kubeconfig" in found.unit_status.message
    none = with_config(state, kubeconfig=f"secret:{'a' * 20}", artifact_transfer="endpoint")
    found = context.run(context.on.pebble_ready(container), none)
    assert "juju grant-secret" in found.unit_status.message


def test_another_cluster_that_refuses_or_is_away(context, related, container, cluster, kubeconfig):
    cluster.elsewhere.trusted = False
    found = context.run(context.on.pebble_ready(container), elsewhere(related, kubeconfig))
    assert isinstance(found.unit_status, ops.BlockedStatus)
    assert "namespace steps" in found.unit_status.message
    cluster.elsewhere.away = True
    found = context.run(context.on.pebble_ready(container), elsewhere(related, kubeconfig))
    assert isinstance(found.unit_status, ops.WaitingStatus)


def test_without_a_shared_volume_no_claim_is_named(context, running, settings):
    context.run(context.on.config_changed(), with_config(running, artifact_transfer="endpoint"))
    found = settings()
    assert "pipeline_root_claim" not in found
    assert "environments_claim" not in found
    assert found["artifact_address"] == "http://10.152.183.9:8888"
    workload_settings.from_data(found)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"log_level": "loud"}, "log-level"),
        ({"parallelism": 0}, "parallelism"),
        ({"parallelism": 1001}, "parallelism"),
        ({"allowed_hosts": "http://a"}, "allowed-hosts"),
        ({"cache_ttl": "30"}, "cache-ttl"),
        ({"cache_ttl": "0d"}, "cache-ttl"),
        ({"cache_ttl": "1y"}, "cache-ttl"),
        ({"cache_ttl": "-1h"}, "cache-ttl"),
        ({"cache_ttl": "1.5h"}, "cache-ttl"),
        ({"environments_limit": "20 GB"}, "environments-limit"),
        ({"environments_limit": "1000Ki"}, "environments-limit"),
        ({"image_map": "[a, b]"}, "image-map: write a map of images"),
        ({"image_map": "a: &a b\nc: *a"}, "image-map: write YAML or JSON"),
        ({"image_map": "{python: 3.11}"}, "image-map: 'python': '3.11': write the names"),
        ({"run_retention": "forever"}, "run-retention"),
        ({"run_retention": "0h"}, "run-retention"),
        ({"run_retention_count": -1}, "run-retention-count"),
        ({"run_retention_count": 1_000_001}, "run-retention-count"),
        ({"default_cpu": "two"}, "default-cpu"),
        ({"default_cpu": "-1"}, "default-cpu"),
        ({"default_memory": "1 Gi"}, "default-memory"),
        ({"default_memory": "0"}, "default-memory"),
        ({"package_index": "pypi.org"}, "package-index"),
        ({"package_index": "file:///etc"}, "package-index"),
        ({"artifact_transfer": "pigeon"}, "artifact-transfer"),
        ({"artifact_store": "gs://bucket"}, "artifact-store"),
        ({"artifact_address": "ml.example.com"}, "artifact-address"),
        ({"artifact_address": "http://ml.example.com/path"}, "artifact-address"),
        ({"artifact_address": "http://a:b@ml.example.com"}, "artifact-address"),
        ({"package_index": "https://user:password@host/simple"}, "package-index"),
        ({"package_index": "http://[::1"}, "package-index"),
        ({"gpu_resource": "gpu"}, "gpu-resource"),
        ({"tolerations": "nvidia.com/gpu"}, "tolerations"),
        ({"cpu": "two"}, "cpu"),
        ({"memory": "1"}, "memory"),
        ({"quota_gpu": -2}, "quota-gpu"),
        ({"priority": 2_000_000_000}, "priority"),
    ],
)
def test_wrong_config_blocks_and_names_the_option(context, running, settings, options, named):
    before = settings()
    after = context.run(context.on.config_changed(), with_config(running, **options))
    assert isinstance(after.unit_status, ops.BlockedStatus)
    assert named in after.unit_status.message
    assert status_of_service(after) is pebble.ServiceStatus.ACTIVE
    assert settings() == before


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"a**": "b"}, "only one *"),
        ({"a*": "b*c*"}, "only one *"),
        ({"a*b": "c"}, "only at the end"),
        ({"a": "b*"}, "nothing for the *"),
        ({"": "b"}, "write the names"),
        ({"a": ""}, "write the names"),
        ({"a": 1}, "write the names"),
        ({"a b": "c"}, "no blanks"),
        ({"a": "c "}, "no blanks"),
    ],
)
def test_a_wrong_entry_of_the_map_of_images_blocks(context, running, settings, entry, said):
    ((name, target),) = entry.items()
    wrong = json.dumps({"docker.io/*": "mirror.example.com/*", **entry})
    after = context.run(context.on.config_changed(), with_config(running, image_map=wrong))
    assert isinstance(after.unit_status, ops.BlockedStatus)
    assert f"image-map: {name!r}: {str(target)!r}: " in after.unit_status.message
    assert said in after.unit_status.message
    # The workload would say the same.
    with pytest.raises(workload_settings.SettingsError, match=re.escape(said)):
        workload_settings.from_data({**settings(), "image_map": entry})


def test_untrusted(context, state, container, cluster):
    cluster.trusted = False
    after = context.run(context.on.pebble_ready(container), state)
    assert isinstance(after.unit_status, ops.BlockedStatus)
    assert "juju trust pipelines --scope=cluster" in after.unit_status.message
    cluster.trusted = True
    assert context.run(context.on.update_status(), after).unit_status == ops.ActiveStatus()


def test_no_kubernetes(context, state, container, cluster):
    cluster.present = False
    after = context.run(context.on.pebble_ready(container), state)
    assert isinstance(after.unit_status, ops.BlockedStatus)
    assert "Kubernetes" in after.unit_status.message


def test_waits_for_storage_claims_and_the_container(context, state, container, cluster):
    for storage in ("state", "pipeline-root", "environments"):
        kept = [each for each in state.storages if each.name != storage]
        after = context.run(
            context.on.pebble_ready(container), dataclasses.replace(state, storages=kept)
        )
        assert after.unit_status == ops.WaitingStatus(f"the storage {storage} is not attached yet")
    del cluster.claims["environments"]
    after = context.run(context.on.pebble_ready(container), state)
    assert isinstance(after.unit_status, ops.WaitingStatus)
    down = dataclasses.replace(container, can_connect=False)
    after = context.run(context.on.config_changed(), dataclasses.replace(state, containers=[down]))
    assert isinstance(after.unit_status, ops.WaitingStatus)


@pytest.mark.parametrize("content", ["", "registrypath: 5", "- a", "a: [", "registrypath: ''"])
def test_a_step_image_that_is_none(context, state, container, tmp_path, content):
    path = tmp_path / "wrong.yaml"
    path.write_text(content)
    wrong = dataclasses.replace(state, resources={testing.Resource(name="step-image", path=path)})
    after = context.run(context.on.pebble_ready(container), wrong)
    assert isinstance(after.unit_status, ops.BlockedStatus)
    assert "step-image" in after.unit_status.message


def test_the_metadata_service(context, related, container, settings, etc, cluster):
    after = context.run(context.on.pebble_ready(container), related)
    assert after.unit_status == ops.ActiveStatus()
    found = settings()
    assert found["metadata_url"] == "http://10.152.183.7:5000"
    assert found["metadata_secret"] == "pipelines-metadata"
    assert cluster.secrets == {"pipelines-metadata": {"token": "m" * 43}}
    file = etc / "metadata-token"
    assert found["metadata_token_file"] == "/etc/toolkit-pipelines/metadata-token"
    assert file.read_text() == "m" * 43 + "\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "m" * 43 not in (etc / "settings.yaml").read_text()
    workload_settings.from_data(found)


def test_without_it_again(context, related, container, settings, cluster):
    after = context.run(context.on.pebble_ready(container), related)
    alone = dataclasses.replace(
        after, relations=[each for each in after.relations if each.endpoint != "metadata"]
    )
    context.run(context.on.update_status(), alone)
    assert "metadata_url" not in settings()
    assert cluster.secrets == {}


def test_a_metadata_service_that_is_not_ready(context, related, container):
    relations = [
        dataclasses.replace(each, remote_app_data={}) if each.endpoint == "metadata" else each
        for each in related.relations
    ]
    after = context.run(
        context.on.pebble_ready(container), dataclasses.replace(related, relations=relations)
    )
    assert isinstance(after.unit_status, ops.WaitingStatus)
    assert "metadata" in after.unit_status.message


def test_a_second_unit_runs_nothing(context_for, state, container, cluster):
    cluster.claims = {name: f"{name}-pipelines-1" for name in cluster.claims}
    second = context_for(1)
    follower = dataclasses.replace(
        state,
        leader=False,
        planned_units=2,
        secrets=[testing.Secret({"token": "t" * 43}, owner="app", label="token")],
    )
    after = second.run(second.on.pebble_ready(container), follower)
    assert isinstance(after.unit_status, ops.BlockedStatus)
    assert "juju scale-application pipelines 1" in after.unit_status.message
    assert pebble.ServiceStatus.ACTIVE not in (
        after.get_container("pipelines").service_statuses.values()
    )


def test_a_workload_that_does_not_answer(context, state, container, service):
    service.ready = False
    after = context.run(context.on.pebble_ready(container), state)
    assert isinstance(after.unit_status, ops.WaitingStatus)


def test_get_token(context, running):
    context.run(context.on.action("get-token"), running)
    results = context.action_results
    assert results["token"] == token_of(running)
    assert results["url"] == "http://10.152.183.9:8888"
    assert results["token"] in results["python"]
    assert "kfp.Client" in results["python"]


def test_the_last_unit_takes_its_secret_along(context, related, container, cluster):
    after = context.run(context.on.pebble_ready(container), related)
    context.run(context.on.remove(), dataclasses.replace(after, planned_units=1))
    assert cluster.secrets
    context.run(context.on.remove(), dataclasses.replace(after, planned_units=0))
    assert not cluster.secrets


def test_removal_goes_on_without_kubernetes(context, running, cluster):
    cluster.present = False
    context.run(context.on.remove(), dataclasses.replace(running, planned_units=0))


def test_charmcraft_declares_what_the_charm_uses(charm, meta):
    container = meta["containers"]["pipelines"]
    mounts = {mount["storage"]: mount["location"] for mount in container["mounts"]}
    assert mounts == charm.FOLDERS
    assert set(mounts) == set(meta["storage"])
    assert container["resource"] in meta["resources"]
    assert charm.STEP_IMAGE in meta["resources"]
    assert meta["requires"]["metadata"]["interface"] == "toolkit_metadata"


def test_what_mlflow_does_not_take_is_in_the_status(context, running, service):
    records = {"runs": 2, "reason": "503 away", "refused": 1, "refusal": "record r/3: 400 no"}
    service.waiting = {"steps": 0, "reasons": [], "records": records}
    after = context.run(context.on.update_status(), running)
    assert after.unit_status == ops.ActiveStatus(
        "MLflow refused 1 record for good today: record r/3: 400 no; "
        "records of 2 runs wait for MLflow: 503 away"
    )


def test_steps_that_wait_are_in_the_status(context, running, service):
    reason = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    service.waiting = {"steps": 3, "reasons": [{"steps": 2, "reason": reason}]}
    after = context.run(context.on.update_status(), running)
    assert after.unit_status == ops.ActiveStatus(f"3 steps wait: {reason}")
    service.waiting = {"steps": 1, "reasons": [{"steps": 1, "reason": "words\n" * 500}]}
    message = context.run(context.on.update_status(), after).unit_status.message
    assert message.startswith("1 step waits: words words")
    assert len(message) <= 200
    service.waiting = {"steps": 0, "reasons": []}
    assert context.run(context.on.update_status(), after).unit_status == ops.ActiveStatus()


def kept(cluster):
    return {(kind.__name__, name) for kind, name in cluster.kept}


def test_steps_have_an_account_without_rights(running, cluster, settings):
    assert kept(cluster) == {("ServiceAccount", "pipelines-steps")}
    (account,) = cluster.kept.values()
    assert account.automountServiceAccountToken is False
    assert account.metadata.namespace == "ml"
    assert settings()["pods"]["service_account"] == "pipelines-steps"
    assert "priority_class" not in settings()["pods"]


def test_a_quota_and_a_priority_come_and_go_with_their_options(
    context, running, cluster, settings
):
    after = context.run(
        context.on.config_changed(), with_config(running, quota_gpu=4, priority=-10)
    )
    assert kept(cluster) == {
        ("ServiceAccount", "pipelines-steps"),
        ("ResourceQuota", "pipelines-gpus"),
        ("PriorityClass", "ml-pipelines--10"),
    }
    quota = next(each for (kind, _), each in cluster.kept.items() if kind is ResourceQuota)
    assert quota.spec.hard == {"requests.nvidia.com/gpu": "4"}
    priority = next(each for (kind, _), each in cluster.kept.items() if kind is PriorityClass)
    assert (priority.value, priority.metadata.namespace) == (-10, None)
    assert settings()["pods"]["priority_class"] == "ml-pipelines--10"
    changed = with_config(after, quota_gpu=0, gpu_mode="dra", priority=5, priority_class="another")
    after = context.run(context.on.config_changed(), changed)
    assert kept(cluster) == {
        ("ServiceAccount", "pipelines-steps"),
        ("ResourceQuota", "pipelines-gpus"),
    }
    quota = next(each for (kind, _), each in cluster.kept.items() if kind is ResourceQuota)
    assert quota.spec.hard == {"gpu.nvidia.com.deviceclass.resource.k8s.io/devices": "0"}
    assert settings()["pods"]["priority_class"] == "another"
    context.run(context.on.config_changed(), with_config(after, quota_gpu=-1))
    assert kept(cluster) == {("ServiceAccount", "pipelines-steps")}


def test_the_last_unit_clears_up(context, running, cluster):
    labels = {"toolkit.canonical.com/pipelines": "pipelines"}
    other = {"toolkit.canonical.com/pipelines": "another"}
    for kind, name, marks in (
        *((Pod, "step", labels), (Pod, "theirs", other), (Job, "q", labels)),
        *((PersistentVolumeClaim, "workspace", labels), (PersistentVolumeClaim, "users", {})),
    ):
        cluster.kept[kind, name] = kind(metadata=ObjectMeta(name=name, labels=marks))
    context.run(context.on.remove(), dataclasses.replace(running, planned_units=1))
    assert len(cluster.kept) == 6
    context.run(context.on.remove(), dataclasses.replace(running, planned_units=0))
    assert kept(cluster) == {("Pod", "theirs"), ("PersistentVolumeClaim", "users")}


def test_limits_where_no_stateful_set_is_seen(context, running, cluster):
    after = context.run(context.on.config_changed(), with_config(running, memory="1Gi"))
    assert isinstance(after.unit_status, ops.ActiveStatus)
    assert after.unit_status.message.startswith("cpu and memory are not applied")
    assert not cluster.patches


def with_exec(state, prefix, **answer):
    (container,) = state.containers
    asked = dataclasses.replace(container, execs={testing.Exec(prefix, **answer)})
    return dataclasses.replace(state, containers=[asked])


def test_show_pod_template(context, running):
    words = ["--image=a:1", "--memory=2Gi", "--gpu-count=0"]
    command = ["/opt/venv/bin/python", "-m", "toolkit_pipelines.template"]
    settings_file = ["--config", "/etc/toolkit-pipelines/settings.yaml"]
    state = with_exec(running, [*command, *settings_file, *words], stdout="kind: Pod\n")
    params = {"image": "a:1", "memory": "2Gi", "gpu-count": 0}
    context.run(context.on.action("show-pod-template", params=params), state)
    assert context.action_results == {"template": "kind: Pod\n"}


def test_show_pod_template_tells_what_is_wrong(context, running):
    state = with_exec(running, [], return_code=2, stderr="error: no such resource\n")
    with pytest.raises(testing.ActionFailed) as caught:
        context.run(context.on.action("show-pod-template"), state)
    assert caught.value.message == "error: no such resource"
