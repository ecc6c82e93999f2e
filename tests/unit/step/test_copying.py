"""Artifacts copied into a workspace: whole or not at all, and once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from toolkit_launcher import copying, placeholders

LAUNCHER = Path(__file__).parents[3] / "images" / "step" / "data" / "share" / "toolkit-launcher"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "artifact"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "weights").write_text("w")
    (folder / "link").symlink_to("below/weights")
    return folder


def test_a_folder_is_copied_and_links_are_followed(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "workspace" / ".artifacts" / "minio" / "model"
    assert copying.run(str(source), str(target)) == 0
    assert (target / "below" / "weights").read_text() == "w"
    assert not (target / "link").is_symlink()
    assert (target / "link").read_text() == "w"
    assert [each.name for each in target.parent.iterdir()] == ["model"]


def test_a_file_is_copied(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "workspace" / "weights"
    for _ in range(2):
        assert copying.run(str(source / "below" / "weights"), str(target)) == 0
    assert target.read_text() == "w"
    assert [each.name for each in target.parent.iterdir()] == ["weights"]


def test_a_copy_that_is_there_stays(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "workspace" / "model"
    assert copying.run(str(source), str(target)) == 0
    (target / "mine").write_text("a step wrote it")
    assert copying.run(str(source), str(target)) == 0
    assert (target / "mine").read_text() == "a step wrote it"
    assert [each.name for each in target.parent.iterdir()] == ["model"]


def test_what_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "workspace" / "model"
    assert copying.run(str(tmp_path / "absent"), str(target)) == 1
    assert "absent" in capsys.readouterr().err
    assert not target.exists()


def test_the_launcher_copies(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "workspace" / "model"
    subprocess.run(
        [sys.executable, str(LAUNCHER), "copy", str(source), str(target)], check=True, timeout=60
    )
    assert (target / "below" / "weights").read_text() == "w"


@pytest.mark.parametrize(
    ("metadata", "path"),
    [
        ({}, "/minio/bucket/model"),
        ({"_kfp_workspace": True}, "/kfp-workspace/.artifacts/minio/bucket/model"),
        ({"_kfp_workspace": "yes"}, "/minio/bucket/model"),
    ],
)
def test_a_command_finds_an_artifact_where_it_is(metadata: dict[str, object], path: str) -> None:
    model = {"uri": "minio://bucket/model", "metadata": metadata}
    given = {
        "inputs": {"artifacts": {"model": {"artifacts": [model]}}},
        "outputs": {"outputFile": "/out"},
    }
    resolver = placeholders.Resolver(given, {".workspace_path": "/kfp-workspace"})
    words = ["{{$.inputs.artifacts['model'].path}}", "{{$.workspace_path}}/data"]
    assert resolver.arguments(words) == [path, "/kfp-workspace/data"]
