"""What Kubernetes would be given for a step, printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from toolkit_pipelines import template

SETTINGS = {
    "state": "/s",
    "pipeline_root": "/p",
    "environments": "/e",
    "token_file": "/t",
    "namespace": "ml",
    "pipeline_root_claim": "root",
    "step_image": "step:1",
    "default_memory": "1Gi",
    "pods": {"gpu": {"count": 1}, "runtime_class": "nvidia", "shm_size": "1Gi"},
}


@pytest.fixture
def shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def show(*words: str, **settings: Any) -> list[Any]:
        path = tmp_path / "settings.yaml"
        path.write_text(yaml.safe_dump(SETTINGS | settings))
        assert template.main(["--config", str(path), *words]) == 0
        return list(yaml.safe_load_all(capsys.readouterr().out))

    return show


def test_a_step_as_the_options_have_it(shown: Any) -> None:
    (pod,) = shown()
    assert pod["kind"] == "Pod"
    assert pod["metadata"]["namespace"] == "ml"
    assert pod["spec"]["runtimeClassName"] == "nvidia"
    (container,) = pod["spec"]["containers"]
    assert container["image"] == "python:3.11"
    assert container["resources"]["limits"] == {"memory": "1Gi", "nvidia.com/gpu": "1"}
    assert "/dev/shm" in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_the_image_is_the_one_that_the_map_says(shown: Any) -> None:
    (pod,) = shown("--image=docker.io/a:1", image_map={"docker.io/*": "mirror.example.com/*"})
    assert pod["spec"]["containers"][0]["image"] == "mirror.example.com/a:1"


def test_a_step_that_asks_itself(shown: Any) -> None:
    words = [
        "--image=a:1",
        "--cpu=2",
        "--memory=4Gi",
        "--gpu-count=3",
        "--gpu-resource=amd.com/gpu",
    ]
    (pod,) = shown(*words)
    (container,) = pod["spec"]["containers"]
    assert container["image"] == "a:1"
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "4Gi"},
        "limits": {"memory": "4Gi", "amd.com/gpu": "3"},
    }


def test_a_step_without_a_shared_volume(shown: Any) -> None:
    (pod,) = shown(artifact_transfer="endpoint", artifact_address="http://here:8888")
    assert "persistentVolumeClaim" not in str(pod)
    assert pod["spec"]["containers"][0]["command"][2:] == ["remote", "http://here:8888"]


def test_a_queue_and_devices(shown: Any) -> None:
    gpu = {"mode": "dra", "count": 1, "device_class": "gpu.nvidia.com"}
    claim, job = shown(pods={"gpu": gpu, "queue": "ml"})
    assert claim["kind"] == "ResourceClaimTemplate"
    assert (job["kind"], job["spec"]["suspend"]) == ("Job", True)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--gpu-resource=gpu"], "is no resource of Kubernetes"),
        (["--gpu-count=-1"], "not a whole number"),
    ],
)
def test_what_is_wrong_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], problem: str
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(SETTINGS))
    assert template.main(["--config", str(path), *words]) == 2
    assert problem in capsys.readouterr().err


def test_settings_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert template.main(["--config", str(tmp_path / "none")]) == 2
    assert "error: " in capsys.readouterr().err
