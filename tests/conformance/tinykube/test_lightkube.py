"""lightkube, unmodified."""

from __future__ import annotations

import asyncio
import signal

import lightkube
import pytest
from lightkube.core.exceptions import ApiError
from lightkube.models.authentication_v1 import TokenRequestSpec
from lightkube.models.core_v1 import (
    Container,
    EnvVar,
    EnvVarSource,
    PersistentVolumeClaimSpec,
    PersistentVolumeClaimVolumeSource,
    PodSpec,
    SecretKeySelector,
    Volume,
    VolumeMount,
    VolumeResourceRequirements,
)
from lightkube.models.meta_v1 import ObjectMeta, OwnerReference
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.resources.core_v1 import (
    ConfigMap,
    Event,
    Namespace,
    Node,
    PersistentVolumeClaim,
    Pod,
    Secret,
    ServiceAccount,
    ServiceAccountToken,
)
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding
from lightkube.types import PatchType


@pytest.fixture(autouse=True)
def bounded():
    """lightkube watches for ever: a test that does not end is ended."""

    def fail(*_):
        raise TimeoutError("the test did not end in time")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def config(kubeconfig):
    return lightkube.KubeConfig.from_file(kubeconfig)


@pytest.fixture
def connect(config):
    """Make clients that are closed with the test."""
    made = []

    def make(chosen=config):
        made.append(lightkube.Client(chosen, field_manager="conformance"))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(connect):
    return connect()


def pod(name, *command, **spec):
    main = Container(name="main", image="busybox", command=list(command), **spec.pop("main", {}))
    return Pod(
        metadata=ObjectMeta(name=name, labels={"test": name}),
        spec=PodSpec(restartPolicy="Never", containers=[main], **spec),
    )


def last(client, name, phases=("Succeeded", "Failed")):
    """Follow a pod to its end, or to another phase, by a watch."""
    for _, found in client.watch(Pod, fields={"metadata.name": name}):
        if found.status.phase in phases:
            return found
    raise AssertionError(f"pod {name} was not {phases} in time")


def test_a_pod_is_made_followed_and_deleted(client, name):
    client.create(
        pod(name, "sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.1; done; exit 3")
    )
    last(client, name, ("Running", "Succeeded", "Failed"))
    assert list(client.log(name, follow=True)) == ["line 1\n", "line 2\n", "line 3\n"]
    ended = last(client, name)
    assert ended.status.phase == "Failed"
    assert ended.status.containerStatuses[0].state.terminated.exitCode == 3
    assert list(client.log(name, tail_lines=1)) == ["line 3\n"]
    reasons = {item.reason for item in client.list(Event, fields={"involvedObject.name": name})}
    assert {"Scheduled", "Started"} <= reasons
    client.delete(Pod, name)
    with pytest.raises(ApiError) as caught:
        client.get(Pod, name)
    assert caught.value.status.reason == "NotFound"


def test_creating_twice_and_writing_stale(client, name):
    made = client.create(ConfigMap(metadata=ObjectMeta(name=name), data={"a": "b"}))
    with pytest.raises(ApiError) as caught:
        client.create(ConfigMap(metadata=ObjectMeta(name=name)))
    assert caught.value.status.reason == "AlreadyExists"
    made.data = {"a": "c"}
    client.replace(made)
    with pytest.raises(ApiError) as caught:
        client.replace(made)
    assert caught.value.status.reason == "Conflict"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (PatchType.MERGE, {"data": {"a": None, "b": "2"}}),
        (PatchType.STRATEGIC, {"data": {"a": None, "b": "2"}}),
        (
            PatchType.JSON,
            [{"op": "remove", "path": "/data/a"}, {"op": "add", "path": "/data/b", "value": "2"}],
        ),
    ],
)
def test_patches(client, name, kind, body):
    client.create(ConfigMap(metadata=ObjectMeta(name=name), data={"a": "1"}))
    assert client.patch(ConfigMap, name, body, patch_type=kind).data == {"b": "2"}


def test_server_side_apply(client, name):
    def config(**data):
        return ConfigMap(metadata=ObjectMeta(name=name), data=data)

    client.apply(config(a="1", b="2"))
    assert client.apply(config(a="1")).data == {"a": "1"}
    with pytest.raises(ApiError) as caught:
        client.apply(config(a="9"), field_manager="other")
    assert caught.value.status.code == 409
    assert client.apply(config(a="9"), field_manager="other", force=True).data == {"a": "9"}


def test_pages_and_selectors(client, name):
    for number in range(7):
        labels = {"group": name, "even": str(number % 2 == 0).lower()}
        client.create(Secret(metadata=ObjectMeta(name=f"{name}-{number}", labels=labels)))
    found = client.list(Secret, labels={"group": name}, chunk_size=3)
    assert len(list(found)) == 7
    even = client.list(Secret, labels={"group": name, "even": "true"})
    assert len(list(even)) == 4


def test_a_collection_is_deleted(client, name):
    client.create(Namespace(metadata=ObjectMeta(name=name)))
    for number in range(3):
        client.create(Secret(metadata=ObjectMeta(name=f"s{number}")), namespace=name)
    client.deletecollection(Secret, namespace=name)
    assert list(client.list(Secret, namespace=name)) == []
    client.delete(Namespace, name)


def test_a_pod_with_a_claim_a_secret_and_an_owner(client, name):
    owner = client.create(Secret(metadata=ObjectMeta(name=name), stringData={"key": "the secret"}))
    client.create(
        PersistentVolumeClaim(
            metadata=ObjectMeta(name=name),
            spec=PersistentVolumeClaimSpec(
                accessModes=["ReadWriteOnce"],
                resources=VolumeResourceRequirements(requests={"storage": "1Gi"}),
            ),
        )
    )
    source = EnvVarSource(secretKeyRef=SecretKeySelector(name=name, key="key"))
    body = pod(
        name,
        "sh",
        "-c",
        'echo "$KEY" > /data/file && cat /data/file',
        main={
            "env": [EnvVar(name="KEY", valueFrom=source)],
            "volumeMounts": [VolumeMount(name="data", mountPath="/data")],
        },
        volumes=[
            Volume(
                name="data",
                persistentVolumeClaim=PersistentVolumeClaimVolumeSource(claimName=name),
            )
        ],
    )
    body.metadata.ownerReferences = [
        OwnerReference(apiVersion="v1", kind="Secret", name=name, uid=owner.metadata.uid)
    ]
    client.create(body)
    assert last(client, name).status.phase == "Succeeded"
    assert "".join(client.log(name)) == "the secret\n"
    version = client.get(Pod, name).metadata.resourceVersion
    client.delete(Secret, name)
    watch = client.watch(Pod, fields={"metadata.name": name}, resource_version=version)
    assert any(operation == "DELETED" for operation, _ in watch)


def test_a_watch_resumes(client, name):
    made = client.create(Secret(metadata=ObjectMeta(name=name)))
    client.patch(Secret, name, {"metadata": {"labels": {"a": "b"}}})
    watch = client.watch(
        Secret,
        fields={"metadata.name": name},
        resource_version=made.metadata.resourceVersion,
    )
    operation, found = next(iter(watch))
    assert (operation, found.metadata.labels) == ("MODIFIED", {"a": "b"})


def test_an_account_may_do_what_its_role_says(client, connect, config, name):
    client.create(ServiceAccount(metadata=ObjectMeta(name=name)))
    rules = [PolicyRule(verbs=["get", "list"], apiGroups=[""], resources=["secrets"])]
    client.create(ClusterRole(metadata=ObjectMeta(name=name), rules=rules))
    token = client.create(
        ServiceAccountToken(
            metadata=ObjectMeta(), spec=TokenRequestSpec(audiences=[], expirationSeconds=3600)
        ),
        name,
    ).status.token
    single = config.get()
    bot_config = lightkube.KubeConfig.from_one(
        user=lightkube.config.models.User(token=token), cluster=single.cluster
    )
    bot = connect(bot_config)
    with pytest.raises(ApiError) as caught:
        list(bot.list(Secret))
    assert caught.value.status.code == 403
    client.create(
        ClusterRoleBinding(
            metadata=ObjectMeta(name=name),
            roleRef=RoleRef(apiGroup="rbac.authorization.k8s.io", kind="ClusterRole", name=name),
            subjects=[Subject(kind="ServiceAccount", name=name, namespace="default")],
        )
    )
    list(bot.list(Secret))
    with pytest.raises(ApiError, match="cannot create resource"):
        bot.create(Secret(metadata=ObjectMeta(name=name)))
    client.delete(ServiceAccount, name)
    with pytest.raises(ApiError) as caught:
        list(bot.list(Secret))
    assert caught.value.status.code == 401


def test_a_namespace_goes_with_all_that_is_in_it(client, name):
    client.create(Namespace(metadata=ObjectMeta(name=name)))
    client.create(Secret(metadata=ObjectMeta(name="s")), namespace=name)
    client.create(pod("p", "sleep", "600", terminationGracePeriodSeconds=0), namespace=name)
    version = client.get(Namespace, name).metadata.resourceVersion
    client.delete(Namespace, name)
    fields = {"metadata.name": name}
    watch = client.watch(Namespace, fields=fields, resource_version=version)
    assert any(operation == "DELETED" for operation, _ in watch)


def test_there_is_one_node(client):
    (node,) = client.list(Node)
    assert {"cpu", "memory", "pods"} <= set(node.status.allocatable)


def test_what_is_invalid_is_named(client, name):
    body = pod(name, "true", hostNetwork=True)
    with pytest.raises(ApiError) as caught:
        client.create(body)
    assert caught.value.status.code == 422
    assert "spec.hostNetwork" in caught.value.status.message


def test_the_asynchronous_client(config, name):
    async def follow():
        client = lightkube.AsyncClient(config, field_manager="conformance")
        try:
            await client.create(pod(name, "echo", "hello"))
            async for _, found in client.watch(Pod, fields={"metadata.name": name}):
                if found.status.phase == "Succeeded":
                    break
            return [line async for line in client.log(name)]
        finally:
            await client.close()

    assert asyncio.run(follow()) == ["hello\n"]
