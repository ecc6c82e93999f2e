"""What charms keep in Kubernetes, on the real API server: manifests, and their own limits."""

from __future__ import annotations

from pathlib import Path

import lightkube
import pytest
from lightkube.core.exceptions import ApiError
from lightkube.models.apps_v1 import StatefulSetSpec
from lightkube.models.authorization_v1 import ResourceAttributes, SubjectAccessReviewSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import StatefulSet
from lightkube.resources.authorization_v1 import SubjectAccessReview
from lightkube.resources.core_v1 import ResourceQuota, ServiceAccount
from lightkube.resources.scheduling_v1 import PriorityClass

from toolkit_charm import Blocked, compute
from toolkit_charm.compute import Compute
from toolkit_charm.manifests import Manifests

TEMPLATES = Path(__file__).parents[2] / "charms" / "pipelines" / "src" / "templates"
KINDS = (ServiceAccount, ResourceQuota, PriorityClass)


@pytest.fixture
def charm(plane, namespace):
    """The charm's client, as its administrator or as another."""
    opened = []

    def make(kubeconfig=plane.kubeconfig):
        config = lightkube.KubeConfig.from_file(kubeconfig)
        client = lightkube.Client(config, namespace=namespace, field_manager="pipelines-charm")
        opened.append(client)
        return Manifests(client, "pipelines", namespace, TEMPLATES, KINDS)

    yield make
    for client in opened:
        client.close()


def absent(client, kind, name, **place):
    try:
        client.get(kind, name, **place)
    except ApiError as error:
        return error.status.code == 404
    return False


def test_objects_come_change_and_go(client, namespace, charm):
    made = charm()
    priority = {"name": f"{namespace}-pipelines--10", "value": -10}
    made.apply({"quota": {"requests.nvidia.com/gpu": "4"}, "priority": priority})
    quota = client.get(ResourceQuota, "pipelines-gpus", namespace=namespace)
    assert quota.spec.hard == {"requests.nvidia.com/gpu": "4"}
    assert quota.metadata.labels["app.kubernetes.io/part-of"] == "charmed-ml-toolkit"
    assert client.get(PriorityClass, priority["name"]).value == -10
    # Another value is another class: what Kubernetes lets nobody change is made anew.
    other = {"name": f"{namespace}-pipelines-5", "value": 5}
    made.apply({"quota": {"requests.amd.com/gpu": "1"}, "priority": other})
    quota = client.get(ResourceQuota, "pipelines-gpus", namespace=namespace)
    assert quota.spec.hard == {"requests.amd.com/gpu": "1"}
    assert absent(client, PriorityClass, priority["name"])
    made.apply({"quota": {}, "priority": None})
    assert absent(client, ResourceQuota, "pipelines-gpus", namespace=namespace)
    assert absent(client, PriorityClass, other["name"])
    made.remove()
    assert absent(client, ServiceAccount, "pipelines-steps", namespace=namespace)
    made.remove()


@pytest.mark.parametrize(
    ("verb", "resource"), [("get", "secrets"), ("list", "pods"), ("create", "pods")]
)
def test_a_step_can_do_nothing_to_the_api(client, namespace, charm, verb, resource):
    charm().apply({"quota": {}, "priority": None})
    account = client.get(ServiceAccount, "pipelines-steps", namespace=namespace)
    assert account.automountServiceAccountToken is False
    review = client.create(
        SubjectAccessReview(
            metadata=ObjectMeta(),
            spec=SubjectAccessReviewSpec(
                user=f"system:serviceaccount:{namespace}:pipelines-steps",
                groups=["system:serviceaccounts", "system:authenticated"],
                resourceAttributes=ResourceAttributes(
                    namespace=namespace, verb=verb, resource=resource
                ),
            ),
        )
    )
    assert review.status.allowed is False


def test_an_application_that_is_not_trusted(plane, namespace, charm):
    untrusted = charm(plane.account("default", namespace))
    with pytest.raises(Blocked, match="juju trust pipelines --scope=cluster"):
        untrusted.apply({"quota": {}, "priority": None})


@pytest.fixture
def stateful_set(client, namespace):
    """As Juju makes it: the charm's container and the workload's."""
    labels = {"app": "pipelines"}
    containers = [Container(name=name, image=name) for name in ("charm", "pipelines")]
    client.create(
        StatefulSet(
            metadata=ObjectMeta(name="pipelines", namespace=namespace),
            spec=StatefulSetSpec(
                replicas=0,
                selector=LabelSelector(matchLabels=labels),
                serviceName="pipelines",
                template=PodTemplateSpec(
                    metadata=ObjectMeta(labels=labels), spec=PodSpec(containers=containers)
                ),
            ),
        )
    )

    def now():
        found = client.get(StatefulSet, "pipelines", namespace=namespace)
        return {each.name: each for each in found.spec.template.spec.containers}, found

    return now


def test_limits_of_the_workload_are_set_changed_and_given_up(client, namespace, stateful_set):
    def apply(wanted):
        return compute.apply(
            client, wanted, application="pipelines", model=namespace, container="pipelines"
        )

    before, _ = stateful_set()
    assert apply(Compute("2", "1Gi")) == ""
    containers, first = stateful_set()
    assert containers["pipelines"].resources.limits == {"cpu": "2", "memory": "1Gi"}
    assert containers["pipelines"].resources.requests == {"cpu": "2", "memory": "1Gi"}
    assert containers["pipelines"].image == "pipelines"
    assert containers["charm"] == before["charm"]
    assert apply(Compute("2", "1Gi")) == ""
    assert stateful_set()[1].metadata.generation == first.metadata.generation
    assert apply(Compute(memory="2Gi")) == ""
    containers, _ = stateful_set()
    assert containers["pipelines"].resources.limits == {"memory": "2Gi"}
    assert apply(Compute()) == ""
    containers, last = stateful_set()
    assert containers == before
    # Nothing is the charm's any more, so nothing is asked for again.
    managers = {each.manager for each in last.metadata.managedFields}
    assert "pipelines-charm-compute" not in managers
