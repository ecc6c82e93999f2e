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
        ("artifact_store", "gs://bucket"),
        ("artifact_store_credentials", "relative"),
        ("artifact_transfer", "s3"),
        ("caching", "yes"),
        ("caching", 1),
        ("offline", "no"),
        ("environments_limit", "large"),
        ("environments_limit", 20),
        ("environments_limit", "1000Ki"),
        ("image_map", ["a"]),
        ("image_map", {"a*b": "c"}),
        ("image_map", {"a": 1}),
        ("cache_ttl", -1),
        ("cache_ttl", "30d"),
        ("run_retention", -1),
        ("run_retention", "30d"),
        ("run_retention_count", 1.5),
        ("run_retention_count", 1_000_001),
        ("failure_webhook_file", "https://hooks.example.com"),
        ("failure_webhook_key_file", "relative"),
        ("failure_webhook_key_file", "/without/an/address"),
        ("url", "ml.example.com"),
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


def test_a_wrong_entry_of_the_map_of_images_is_named() -> None:
    with pytest.raises(SettingsError, match=r"image_map: 'a': 'b\*': there is nothing"):
        settings.from_data(NEEDED | {"image_map": {"x/*": "y/*", "a": "b*"}})
    given = {"x/*": "y/*"}
    assert settings.from_data(NEEDED | {"image_map": given}).image_map == given


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


STORE = {"artifact_store": "s3://bucket/a", "artifact_store_credentials": "/keys"}


def test_an_object_store() -> None:
    given = {"artifact_transfer": "store", "artifact_address": "http://here:1", **STORE}
    assert settings.from_data({**NEEDED, **given}).artifact_store == "s3://bucket/a"
    settings.from_data({**NEEDED, **given, "kubeconfig": "/k"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (STORE, "artifact_transfer is store where"),
        ({"artifact_transfer": "store", "artifact_address": "http://here:1"}, "is store where"),
        (
            {
                "artifact_transfer": "store",
                "artifact_address": "http://here:1",
                "artifact_store": "s3://bucket",
            },
            "needs artifact_store_credentials",
        ),
        ({"artifact_transfer": "store", **STORE}, "needs artifact_address"),
    ],
)
def test_half_an_object_store_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings.from_data({**NEEDED, **given})
