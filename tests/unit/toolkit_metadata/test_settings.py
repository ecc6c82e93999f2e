"""The command line of the server."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit_metadata.settings import Settings, SettingsError, parse

NEEDED = ["--data", "/data", "--tokens", "/etc/tokens"]


def test_defaults():
    settings = parse(NEEDED)
    assert settings == Settings(
        address="127.0.0.1", port=5000, data=Path("/data"), tokens=Path("/etc/tokens")
    )
    assert settings.database_uri == "sqlite:////data/mlflow.db"
    assert settings.artifacts == Path("/data/artifacts")


def test_everything_given():
    settings = parse(
        [
            *NEEDED,
            *("--address", "::1", "--port", "1", "--artifact-root", "a/b", "--workers", "2"),
            *("--allowed-host", "x", "--allowed-host", "y:1", "--log-level", "debug"),
        ]
    )
    assert settings.allowed_hosts == ("x", "y:1")
    assert settings.artifacts == Path("/data/a/b")
    assert Settings.from_json(settings.to_json()) == settings


def test_an_object_store():
    settings = parse(
        [
            *NEEDED,
            *("--artifact-store", "s3://bucket/a?region=eu-west-1"),
            *("--artifact-store-credentials", "/keys", "--artifact-store-certificates", "/ca"),
            "--artifact-links",
        ]
    )
    assert settings.artifact_store == "s3://bucket/a?region=eu-west-1"
    assert settings.artifact_store_credentials == Path("/keys")
    assert settings.artifact_links
    assert settings.stores == Path("/data/stores")
    assert Settings.from_json(settings.to_json()) == settings


def test_an_object_store_is_made_of_its_files(tmp_path):
    keys, authorities = tmp_path / "keys", tmp_path / "ca"
    keys.write_text("access-key: a\nsecret-key: hidden\n")
    words = ["--artifact-store", "s3://bucket/a", "--artifact-store-credentials", str(keys)]
    objects = parse([*NEEDED, *words]).objects()
    assert objects is not None
    assert objects.uri == "s3://bucket/a"
    words += ["--artifact-store-certificates", str(authorities)]
    with pytest.raises(FileNotFoundError):
        parse([*NEEDED, *words]).objects()
    assert parse(NEEDED).objects() is None


@pytest.mark.parametrize(
    "wrong",
    [
        ["--address", "localhost"],
        ["--port", "0"],
        ["--port", "65536"],
        ["--workers", "0"],
        ["--workers", "65"],
        ["--data", "data"],
        ["--artifact-root", ""],
        ["--artifact-root", "."],
        ["--artifact-root", "/a"],
        ["--artifact-root", "a/../../b"],
        ["--artifact-root", "a\0b"],
        ["--artifact-root", "stores/a"],
        ["--artifact-store", "s3://bucket"],
        ["--artifact-store", "gs://bucket", "--artifact-store-credentials", "/keys"],
        ["--artifact-links"],
    ],
)
def test_a_wrong_value_names_its_option(wrong):
    with pytest.raises(SettingsError) as caught:
        parse([*NEEDED, *wrong])
    assert wrong[0] in str(caught.value)


@given(st.text(min_size=1))
def test_no_artifact_root_leads_out_of_the_data(root):
    try:
        settings = Settings(
            address="127.0.0.1",
            port=1,
            data=Path("/data"),
            tokens=Path("/t"),
            artifact_root=root,
        )
    except SettingsError:
        return
    assert Path("/data") in settings.artifacts.parents
    assert ".." not in settings.artifacts.parts
