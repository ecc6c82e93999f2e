"""Pipelines name secrets and claims of the namespace; the platform's own are not for steps."""

# No `from __future__ import annotations`: the SDK reads the annotations themselves.

import warnings

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports, and its notes on default images
    from kfp import dsl, kubernetes

from ..deployment import MODEL, tasks

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def read() -> list:
    import os

    return [os.environ.get("WORD", ""), *sorted(os.listdir("/mnt"))]


@dsl.pipeline(name="mounting")
def mounting(claim: str):
    kubernetes.mount_pvc(read(), claim, "/mnt/claim")


@dsl.pipeline(name="reading")
def reading(secret: str) -> list:
    task = read()
    kubernetes.use_secret_as_env(task, secret, {"word": "WORD"})
    return task.output


def names(bundle, kind):
    items = bundle.kube("GET", f"/api/v1/namespaces/{MODEL}/{kind}").json()["items"]
    return [item["metadata"]["name"] for item in items]


def refused(bundle, run_id):
    run = bundle.finish(run_id)
    assert run["state"] == "FAILED"
    (message,) = {task["error"]["message"] for task in tasks(run) if task.get("error")}
    return message


def test_storage_of_applications_is_not_for_steps(bundle):
    claims = names(bundle, "persistentvolumeclaims")
    assert any("-state-" in name for name in claims)
    for name in claims:
        assert f"the claim {name!r} is not for steps" in refused(
            bundle, bundle.start(mounting, claim=name)
        )


def test_secrets_that_charms_keep_are_not_for_steps(bundle):
    message = refused(bundle, bundle.start(reading, secret="pipelines-metadata"))
    assert "the secret 'pipelines-metadata' is not for steps" in message


def test_a_secret_of_the_users_own_is(bundle):
    path = f"/api/v1/namespaces/{MODEL}/secrets"
    body = {"metadata": {"name": "mine"}, "stringData": {"word": "hello"}}
    assert bundle.kube("POST", path, body).status_code == 201
    try:
        run = bundle.finish(bundle.start(reading, secret="mine"))
        assert run["state"] == "SUCCEEDED", run
        (task,) = tasks(run)
        assert "hello" in str(task)
    finally:
        bundle.kube("DELETE", f"{path}/mine")
