"""Stateful sets: Kubernetes' defaults and refusals, and that somebody has to keep them up."""

from __future__ import annotations

import pytest

from tinykube import kinds, tables
from tinykube.options import Options
from tinykube.rbac import SYSTEM
from tinykube.status import ApiError

LABELS = {"app.kubernetes.io/name": "app"}


def stateful_set(name="app", **spec):
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "juju"}},
        "spec": {
            "serviceName": "app-endpoints",
            "selector": {"matchLabels": LABELS},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {"containers": [{"name": "c", "image": "b"}]},
            },
            **spec,
        },
    }


def test_defaults(create):
    made = create(kinds.STATEFUL_SETS, stateful_set())
    spec = made["spec"]
    assert spec["template"]["spec"]["restartPolicy"] == "Always"
    assert {key: spec[key] for key in spec if key not in ("template", "selector")} == {
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
        "podManagementPolicy": "OrderedReady",
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "serviceName": "app-endpoints",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
    }
    assert made["status"] == {"replicas": 0, "availableReplicas": 0}
    assert made["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"replicas": -1}, "spec.replicas: Invalid value: -1"),
        ({"selector": {}}, "empty selector is invalid for statefulset"),
        ({"selector": {"matchLabels": {"x": "y"}}}, "`selector` does not match template `labels`"),
        ({"podManagementPolicy": "Any"}, "spec.podManagementPolicy: Unsupported value"),
        ({"updateStrategy": {"type": "Any"}}, "spec.updateStrategy.type: Unsupported value"),
        ({"volumeClaimTemplates": [{}]}, "whoever keeps the set up makes its claims"),
    ],
)
def test_refusals(create, spec, says):
    with pytest.raises(ApiError) as caught:
        create(kinds.STATEFUL_SETS, stateful_set(**spec))
    assert says in str(caught.value)


def test_one_that_nobody_keeps_up_is_refused(create):
    body = stateful_set()
    del body["metadata"]["labels"]
    with pytest.raises(ApiError, match="tinykube makes no pods of stateful sets") as caught:
        create(kinds.STATEFUL_SETS, body)
    assert caught.value.code == 403


def test_its_resources_change_and_its_selector_does_not(registry, create, load):
    made = create(kinds.STATEFUL_SETS, stateful_set())
    container = made["spec"]["template"]["spec"]["containers"][0]
    container["resources"] = {"limits": {"memory": "1Gi"}}

    def update(body):
        return registry.update(kinds.STATEFUL_SETS, "default", "app", body, SYSTEM, Options())

    update(made)
    made = load(kinds.STATEFUL_SETS, "app")
    assert made["metadata"]["generation"] == 2
    made["spec"]["selector"] = {"matchLabels": {"x": "y"}}
    with pytest.raises(ApiError, match="updates to statefulset spec for fields other than"):
        update(made)


def test_its_table(create):
    made = create(kinds.STATEFUL_SETS, stateful_set())
    made["status"] = {"replicas": 1, "readyReplicas": 1}
    shown = tables.row(kinds.STATEFUL_SETS, made, "None")
    assert shown["cells"][:2] == ["app", "1/1"]
    assert shown["cells"][3:] == ["c", "b"]
