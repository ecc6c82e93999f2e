"""What a pod asks for in vain is named, field by field, and nothing else is."""

import pytest

from tinykube import kinds, podspec
from tinykube.options import Options
from tinykube.rbac import SYSTEM


def container(name="main", **fields):
    return {"name": name, "image": "python:3.11", **fields}


def told(spec, **metadata):
    pod = {"metadata": metadata, "spec": {"containers": [container()], **spec}}
    podspec.default(pod)
    return [each.replace(" has no effect here: ", " ", 1) for each in podspec.unmet(pod)]


MEMORY = {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}
MOUNT = {"name": "m", "mountPath": "/m"}


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({}, []),
        ({"imagePullSecrets": [{"name": "a"}]}, ["spec.imagePullSecrets"]),
        ({"runtimeClassName": "nvidia"}, ["spec.runtimeClassName"]),
        (
            {"securityContext": {"fsGroup": 0, "fsGroupChangePolicy": "Always"}},
            ["spec.securityContext.fsGroup", "spec.securityContext.fsGroupChangePolicy"],
        ),
        (
            {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}},
            ["spec.securityContext.seccompProfile"],
        ),
        ({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, []),
        # These are what they say, inside.
        ({"securityContext": {"runAsUser": 5, "runAsGroup": 5, "runAsNonRoot": True}}, []),
        (
            {
                "containers": [
                    container(
                        securityContext={
                            "appArmorProfile": {"type": "RuntimeDefault"},
                            "capabilities": {"drop": ["ALL"]},
                            "readOnlyRootFilesystem": True,
                        }
                    )
                ]
            },
            ["spec.containers[0].securityContext.appArmorProfile"],
        ),
        (
            {
                "initContainers": [container("i", resources={"limits": {"cpu": "1"}})],
                "containers": [
                    container(resources={"limits": {"memory": "1Gi", "ephemeral-storage": "1Gi"}}),
                ],
            },
            [
                "spec.initContainers[0].resources.limits[cpu]",
                "spec.containers[0].resources.limits[ephemeral-storage]",
            ],
        ),
        ({"containers": [container(resources={"requests": {"cpu": "1"}})]}, []),
        (
            {"containers": [container(imagePullPolicy="Always")]},
            ["spec.containers[0].imagePullPolicy"],
        ),
        # Nobody may have said it: it is the default of such an image.
        ({"containers": [container(image="busybox", imagePullPolicy="Always")]}, []),
        ({"containers": [container(imagePullPolicy="Never")]}, []),
        (
            {"volumes": [{"name": "d", "emptyDir": {"sizeLimit": "1Gi"}}]},
            ["spec.volumes[0].emptyDir.sizeLimit"],
        ),
        ({"volumes": [{"name": "d", "emptyDir": {}}]}, []),
        ({"volumes": [MEMORY], "containers": [container(volumeMounts=[MOUNT])]}, []),
        (
            {
                "volumes": [MEMORY],
                "containers": [container(n, volumeMounts=[MOUNT]) for n in ("a", "b")],
            },
            ["spec.volumes[0].emptyDir.medium", "spec.volumes[0].emptyDir.sizeLimit"],
        ),
        (
            {
                "volumes": [MEMORY],
                "containers": [container(volumeMounts=[{**MOUNT, "subPath": "x"}])],
            },
            ["spec.volumes[0].emptyDir.medium", "spec.volumes[0].emptyDir.sizeLimit"],
        ),
    ],
)
def test_each_field_that_changes_nothing_is_named(spec, fields):
    assert [each.partition(": ")[0] for each in told(spec)] == fields


def test_the_older_way_to_set_an_apparmor_profile_is_named():
    name = "container.apparmor.security.beta.kubernetes.io/main"
    found = told({}, annotations={name: "runtime/default", "mine": "x"})
    assert found == [f"metadata.annotations[{name}]: no AppArmor profile is set"]


def test_there_are_never_more_than_fit_an_answer():
    many = [container(f"c{n}", resources={"limits": {"cpu": "1"}}) for n in range(50)]
    assert len(told({"containers": many})) == 20


@pytest.mark.parametrize(
    ("kind", "wrap", "field"),
    [
        (kinds.PODS, lambda spec: spec, "spec.imagePullSecrets"),
        (kinds.JOBS, lambda spec: {"template": {"spec": spec}}, "spec.template.spec.imagePullSe"),
    ],
)
def test_who_makes_a_pod_is_warned(registry, kind, wrap, field):
    options = Options()
    spec = {
        "restartPolicy": "Never",
        "containers": [container(command=["true"])],
        "imagePullSecrets": [{"name": "a"}],
    }
    registry.create(
        kind, "default", {"metadata": {"name": "p"}, "spec": wrap(spec)}, SYSTEM, options
    )
    (warning,) = options.warnings
    assert warning.startswith(field)
    assert warning.endswith(": has no effect here: no image is pulled")
