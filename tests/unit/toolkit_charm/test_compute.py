"""CPU and memory of a charm's own workload."""

from types import SimpleNamespace

import httpx2
import pytest
from lightkube import ApiError
from lightkube.models.apps_v1 import StatefulSetSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec, ResourceRequirements
from lightkube.models.meta_v1 import LabelSelector, ManagedFieldsEntry, ObjectMeta
from lightkube.resources.apps_v1 import StatefulSet

from toolkit_charm import Blocked
from toolkit_charm.compute import Compute, apply

WANTED = Compute("2", "1Gi")
BOTH = {"cpu": "2", "memory": "1Gi"}


def stateful_set(resources=None, manager="juju"):
    containers = [Container(name="charm"), Container(name="web", resources=resources)]
    return StatefulSet(
        metadata=ObjectMeta(name="app", managedFields=[ManagedFieldsEntry(manager=manager)]),
        spec=StatefulSetSpec(
            selector=LabelSelector(),
            serviceName="app",
            template=PodTemplateSpec(spec=PodSpec(containers=containers)),
        ),
    )


def api_error(code):
    request = httpx2.Request("GET", "http://kubernetes")
    status = {"code": code, "message": "no", "reason": "no"}
    return ApiError(request=request, response=httpx2.Response(code, json=status, request=request))


def run(found, wanted):
    patches = []

    def get(kind, name, *, namespace):
        assert (kind, name, namespace) == (StatefulSet, "app", "ml")
        if isinstance(found, Exception):
            raise found
        return found

    def patch(kind, name, body, **options):
        patches.append((body, options["field_manager"]))

    client = SimpleNamespace(get=get, patch=patch)
    told = apply(client, wanted, application="app", model="ml", container="web")
    return told, patches


def test_limits_are_set_on_the_workloads_container_alone():
    told, ((body, manager),) = run(stateful_set(), WANTED)
    assert told == ""
    assert manager == "app-charm-compute"
    resources = {"requests": BOTH, "limits": BOTH}
    assert body["spec"]["template"]["spec"]["containers"] == [
        {"name": "web", "resources": resources}
    ]


def test_what_is_set_already_is_left_alone():
    now = stateful_set(ResourceRequirements(limits=BOTH, requests=BOTH))
    assert run(now, WANTED) == ("", [])
    assert run(stateful_set(), Compute()) == ("", [])


def test_what_was_set_is_given_up():
    now = stateful_set(ResourceRequirements(limits=BOTH, requests=BOTH), "app-charm-compute")
    _, ((body, _),) = run(now, Compute())
    assert "spec" not in body


def test_one_of_them_alone():
    _, ((body, _),) = run(stateful_set(), Compute(memory="1Gi"))
    (container,) = body["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}


def test_a_cluster_that_shows_no_stateful_set():
    told, patches = run(api_error(404), WANTED)
    assert "not applied" in told
    assert not patches
    assert run(api_error(404), Compute()) == ("", [])


def test_untrusted():
    with pytest.raises(Blocked, match="juju trust app"):
        run(api_error(403), WANTED)
    assert run(api_error(403), Compute()) == ("", [])


def test_other_errors_are_not_hidden():
    with pytest.raises(ApiError):
        run(api_error(500), Compute())
