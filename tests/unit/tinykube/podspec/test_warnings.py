"""What Kubernetes 1.37 warns of, in its words."""

import pytest

from tinykube import podspec


def container(name="main", **fields):
    return {"name": name, "image": "busybox", **fields}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": [container()]}, []),
        (
            {"containers": [container()], "imagePullSecrets": [{"name": ""}, {"name": "a"}] * 2},
            [
                'spec.imagePullSecrets[0].name: invalid empty name ""',
                'spec.imagePullSecrets[2].name: invalid empty name ""',
                'spec.imagePullSecrets[3].name: duplicate name "a"',
            ],
        ),
        (
            {"containers": [container(resources={"requests": {"memory": "1500m", "cpu": "1m"}})]},
            [
                'spec.containers[0].resources.requests[memory]: fractional byte value "1500m" is '
                "invalid, must be an integer"
            ],
        ),
        (
            {
                "containers": [
                    container(
                        env=[
                            {"name": "A", "value": "x"},
                            {"name": "A", "value": "$(A)y"},
                            {"name": "A", "value": "z"},
                        ]
                    )
                ]
            },
            [
                'spec.containers[0].env[2]: hides previous definition of "A", which may be '
                "dropped when using apply"
            ],
        ),
        (
            {
                "initContainers": [container("i", ports=[{"name": "p", "containerPort": 1}])],
                "containers": [container(ports=[{"name": "p", "containerPort": 1}])],
            },
            [
                "spec.containers[0].ports[0]: duplicate port definition with "
                "spec.initContainers[0].ports[0]",
                'spec.containers[0].ports[0]: duplicate port name "p" with '
                "spec.initContainers[0].ports[0], services and probes that select ports by name "
                "will use spec.initContainers[0].ports[0]",
            ],
        ),
    ],
)
def test_warnings(spec, expected):
    assert list(podspec.warnings({"spec": spec})) == expected


def test_a_name_that_no_host_can_have():
    assert list(podspec.of_name({"metadata": {"name": "a"}}, "the Pod's hostname")) == []
    assert list(podspec.of_name({"metadata": {"name": "c.d"}}, "the Pod's hostname")) == [
        "metadata.name: this is used in the Pod's hostname, which can result in surprising "
        "behavior; a DNS label is recommended: [must not contain dots]"
    ]
