from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from toolkit_pipelines import settings
from toolkit_pipelines.settings import Settings, SettingsError

NEEDED = {
    "state": "/s",
    "pipeline_root": "/p",
    "environments": "/e",
    "token_file": "/t",
}


def test_defaults() -> None:
    found = settings.from_data(NEEDED)
    assert found == Settings(
        state=Path("/s"), pipeline_root=Path("/p"), environments=Path("/e"), token_file=Path("/t")
    )


def test_every_setting_is_checked() -> None:
    assert set(settings._CHECKS) == {field.name for field in dataclasses.fields(Settings)}


def test_a_file_and_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(
        "\n".join(f"{name}: {value}" for name, value in NEEDED.items()) + "\nport: 1\n"
    )
    found = settings.load(
        path,
        {"TOOLKIT_PIPELINES_PORT": "2", "TOOLKIT_PIPELINES_ALLOWED_HOSTS": "[a, b]", "X": "y"},
    )
    assert (found.port, found.allowed_hosts) == (2, ("a", "b"))
    assert settings.load(path, {}).port == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 65536),
        ("port", True),
        ("port", "8888"),
        ("parallelism", 0),
        ("parallelism", 1.5),
        ("log_level", "loud"),
        ("state", "relative"),
        ("state", 5),
        ("token_file", "/a\0b"),
        ("allowed_hosts", "a,b"),
        ("allowed_hosts", [1]),
        ("default_cpu", "two"),
        ("default_memory", "1 Gi"),
        ("namespace", "../x"),
        ("metadata_url", "file:///etc/passwd"),
        ("metadata_url", "http://user:password@host/"),
        ("index_url", "--index-url=x"),
        ("step_image", "a\nb"),
        ("pods", ["gpu"]),
        ("pods", {"gpus": 1}),
        ("pods", {"gpu": {"count": "1"}}),
        ("artifact_transfer", "pigeon"),
        ("artifact_transfer", "endpoint"),
        ("artifact_address", "ml.example.com"),
        ("kubeconfig", "relative"),
        ("kubeconfig", "/without/another/transfer"),
    ],
)
def test_wrong_values_are_named(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=name):
        settings.from_data(NEEDED | {name: value})


def test_unknown_and_missing() -> None:
    with pytest.raises(SettingsError, match="unknown setting 'colour'"):
        settings.from_data(NEEDED | {"colour": "red"})
    with pytest.raises(SettingsError, match="'state' is missing"):
        settings.from_data({**NEEDED, "state": None})


@pytest.mark.parametrize("text", ["- a", "a: [", "5"])
def test_no_settings(tmp_path: Path, text: str) -> None:
    (tmp_path / "s").write_text(text)
    with pytest.raises(SettingsError):
        settings.load(tmp_path / "s", {})


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        settings.load(tmp_path / "s", {})
