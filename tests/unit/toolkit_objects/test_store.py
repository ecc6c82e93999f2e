"""What needs no store; `tests/functional/toolkit_objects/test_store.py` has a real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit_objects import MAX_PARTS, PART, CredentialsError, Location, ObjectStore
from toolkit_objects import store as objects

KEYS = {"access-key": "key", "secret-key": "hidden"}


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        (0, 0),
        (PART, 0),
        (PART + 1, PART),
        (PART * MAX_PARTS, PART),
        (PART * MAX_PARTS + 1, 2 * PART),
    ],
)
def test_parts_grow_so_that_there_are_not_too_many(size: int, wanted: int) -> None:
    assert objects.part_size(size) == wanted


def test_credentials_are_read(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("access-key: key\nsecret-key: hidden\n")
    assert objects.credentials(path) == KEYS
    path.write_text("access-key: key\nsecret-key: hidden\nsession-token: t\n")
    assert objects.credentials(path) == {**KEYS, "session-token": "t"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hidden",
        "[hidden]",
        "access-key: hidden\n",
        "access-key: key\nsecret-key: ''\n",
        "access-key: key\nsecret-key: [hidden]\n",
        "access-key: key\nsecret-key: hidden\nother: x\n",
        "secret-key: 'hidden\n",
    ],
)
def test_what_are_no_credentials_is_not_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(CredentialsError, match="keys") as raised:
        objects.credentials(path)
    assert "hidden" not in str(raised.value)


def test_credentials_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="No such file"):
        objects.credentials(tmp_path / "none")


def test_a_store_takes_nothing_from_its_surroundings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\nendpoint_url = http://elsewhere\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "none-such")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere")
    monkeypatch.setenv("AWS_REGION", "elsewhere")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "elsewhere")
    for location in (Location("bucket"), Location("bucket", "", "http://here:1", path_style=True)):
        link = ObjectStore(location, KEYS).reading("x")
        assert "elsewhere" not in link
        assert "hidden" not in link
        assert link.startswith(location.endpoint or "https://bucket.s3")
