"""Pods and Jobs that never run, so that nobody but the test writes to them."""

from __future__ import annotations

from hypothesis import strategies as st

from .words import JSON, LABELS

_CONTAINER = st.fixed_dictionaries(
    {"name": st.sampled_from(["main", "main", "other", "Bad_Name"]), "image": st.just("busybox")},
    optional={
        "command": st.just(["sleep", "1"]),
        "args": st.just(["$(A)"]),
        "env": st.sampled_from(
            [
                [{"name": "A", "value": "b"}],
                [{"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                [{"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                [{"name": "", "value": "b"}],
                [{"name": "A", "value": "b", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}],
            ]
        ),
        "resources": st.sampled_from(
            [
                {"limits": {"cpu": "1", "memory": "1Gi"}},
                {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
                {"limits": {"nvidia.com/gpu": "1"}},
                {"requests": {"nvidia.com/gpu": "1"}},
                {"requests": {"memory": "0.5Gi", "cpu": "1000m"}},
            ]
        ),
        "imagePullPolicy": st.sampled_from(["Always", "IfNotPresent", "Sometimes"]),
        "ports": st.sampled_from([[{"containerPort": 80}], [{"containerPort": 0}]]),
        "workingDir": st.just("/work"),
        "volumeMounts": st.sampled_from(
            [[{"name": "v", "mountPath": "/v"}], [{"name": "missing", "mountPath": "/v"}]]
        ),
    },
)


def _pod_spec() -> st.SearchStrategy[JSON]:
    return st.fixed_dictionaries(
        {
            "containers": st.lists(_CONTAINER, min_size=1, max_size=2),
            # It never runs, so nobody but the test writes to it.
            "schedulerName": st.just("nobody"),
        },
        optional={
            "restartPolicy": st.sampled_from(["Never", "OnFailure", "Always", "Perhaps"]),
            "volumes": st.sampled_from(
                [
                    [{"name": "v", "emptyDir": {}}],
                    [{"name": "v", "secret": {"secretName": "s"}}],
                    [
                        {
                            "name": "v",
                            "configMap": {"name": "c", "items": [{"key": "k", "path": "p"}]},
                        }
                    ],
                    [{"name": "v"}],
                ]
            ),
            "nodeSelector": st.just({"no": "where"}),
            "terminationGracePeriodSeconds": st.sampled_from([0, 5, -1]),
            "activeDeadlineSeconds": st.sampled_from([60, 0]),
            "tolerations": st.sampled_from(
                [
                    [{"key": "k", "operator": "Exists"}],
                    [{"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}],
                    [{"operator": "Whatever"}],
                ]
            ),
            "initContainers": st.just([{"name": "first", "image": "busybox"}]),
            "serviceAccountName": st.sampled_from(["default", "missing"]),
            "securityContext": st.sampled_from([{}, {"runAsNonRoot": True}, {"fsGroup": 1}]),
            "hostname": st.sampled_from(["host", "Bad_Host"]),
        },
    )


def pods() -> st.SearchStrategy[JSON]:
    """Pods."""
    return st.fixed_dictionaries({"spec": _pod_spec()})


def jobs() -> st.SearchStrategy[JSON]:
    """Jobs that are suspended."""
    template = st.builds(
        lambda spec, labels: {"metadata": {"labels": labels}, "spec": spec}, _pod_spec(), LABELS
    )
    spec = st.fixed_dictionaries(
        {"template": template, "suspend": st.just(True)},
        optional={
            "completions": st.sampled_from([1, 3, -1]),
            "parallelism": st.sampled_from([1, 0, -1]),
            "backoffLimit": st.sampled_from([0, 6, -1]),
            "completionMode": st.sampled_from(["NonIndexed", "Indexed", "Other"]),
            "ttlSecondsAfterFinished": st.sampled_from([0, 100]),
            "activeDeadlineSeconds": st.sampled_from([0, 100]),
        },
    )
    return st.fixed_dictionaries({"spec": spec})
