"""Workflows run with the least rights, pinned code, and no text of others in a shell."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request):
    return yaml.safe_load(request.param.read_text())


def test_there_are_workflows():
    assert {path.stem for path in WORKFLOWS} >= {"ci", "release"}


def test_rights_are_given_to_each_job_alone(workflow):
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert job["permissions"], name
        assert job["timeout-minutes"] <= 60, name


def test_what_is_used_is_pinned_and_keeps_no_credentials(workflow):
    for step in steps(workflow):
        if "uses" in step:
            assert PINNED.fullmatch(step["uses"]), step
            assert step["with"]["persist-credentials"] is False, step


def test_no_expression_is_pasted_into_a_shell(workflow):
    for step in steps(workflow):
        assert "${{" not in step.get("run", ""), step


def test_every_image_and_every_charm_is_released():
    text = (ROOT / ".github" / "workflows" / "release.yaml").read_text()
    release = yaml.safe_load(text)
    images = {path.parent.name for path in ROOT.glob("images/*/Containerfile")}
    assert set(release["jobs"]["image"]["strategy"]["matrix"]["image"]) == images
    assert f"for image in {' '.join(sorted(images))}; do" in text
    version = re.search(
        r"ghcr\.io/[\w-]+/pipelines:(\S+)", (ROOT / "bundle/bundle.yaml").read_text()
    )
    assert version, "bundle.yaml names the images that a release makes"
