"""The pipelines image's entry point serves the KFP API and finds its Kubernetes."""

from __future__ import annotations

import httpx2
import pytest
import yaml

from ..functional.pipelines.stack import NAMESPACE, Cluster
from .builder import SHARED

TOKEN = "pipelines-image-token-000"


@pytest.fixture
def cluster(tmp_path):
    """A tinykube; no step is started here, so no image is mapped to anything."""
    made = Cluster(tmp_path / "kube", "process.local/none@sha256:" + "0" * 64)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def test_the_api_answers_who_has_the_token(builder, image, port, shared, answers, cluster):
    for name, text in (
        ("tokens", f"test:{TOKEN}\n"),
        ("kubeconfig", cluster.kubeconfig.read_text()),
    ):
        (shared / name).touch(mode=0o600)
        (shared / name).write_text(text)
    (shared / "data").mkdir()
    settings = {
        "port": port,
        "state": "/data/state",
        "pipeline_root": "/data/root",
        "environments": "/data/environments",
        "token_file": "/etc/toolkit-pipelines/tokens",
        "kubeconfig": "/etc/toolkit-pipelines/kubeconfig",
        "artifact_transfer": "endpoint",
        "artifact_address": f"http://127.0.0.1:{port}",
        "namespace": NAMESPACE,
        "step_image": "example.com/step:1",
    }
    (shared / "settings.yaml").write_text(yaml.safe_dump(settings))
    log = shared / "log"
    with (
        log.open("w") as output,
        builder.running(
            image("pipelines"),
            volumes={
                "/data": SHARED / shared.name / "data",
                "/etc/toolkit-pipelines": SHARED / shared.name,
            },
            stdout=output,
        ) as process,
    ):
        url = f"http://127.0.0.1:{port}"
        assert answers(process, f"{url}/healthz", log)
        with httpx2.Client(base_url=url, trust_env=False, timeout=60) as client:
            assert client.get("/apis/v2beta1/experiments").status_code == 401
            client.headers["Authorization"] = f"Bearer {TOKEN}"
            found = client.get("/apis/v2beta1/experiments")
        assert found.status_code == 200, found.text
    assert (shared / "data" / "state" / "pipelines.db").is_file()
