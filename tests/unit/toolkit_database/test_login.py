from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolkit_database import Login, LoginError, arguments, engine
from toolkit_database.connections import url

FIELDS = {
    "host": "db.example.com",
    "port": 5433,
    "database": "pipelines",
    "username": "u",
    "password": "hush",
}


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "login"
    path.touch(mode=mode)
    path.chmod(mode)
    path.write_text(text)
    return path


def test_read(tmp_path: Path) -> None:
    login = Login.read(write(tmp_path, json.dumps(FIELDS)))
    assert login == Login(**FIELDS)
    assert str(login) == "database pipelines on db.example.com:5433"
    assert login.context() is None
    assert "hush" not in repr(login)
    assert "hush" not in str(url(login))
    assert "hush" not in repr(engine(login))


def test_with_tls_the_server_is_checked(tmp_path: Path) -> None:
    login = Login.read(write(tmp_path, json.dumps({**FIELDS, "tls": True})))
    context = arguments(login)["ssl_context"]
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"host": ""}, "host is missing"),
        ({"password": None}, "password is missing"),
        ({"port": "5432"}, "port must be a number"),
        ({"port": 0}, "port must be a number"),
        ({"port": True}, "port must be a number"),
        ({"tls": "true"}, "tls must be true or false"),
        ({"tls": True, "tls-ca": "no certificate"}, "tls-ca holds no certificates"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, changes: dict[str, object], problem: str) -> None:
    path = write(tmp_path, json.dumps({**FIELDS, **changes}))
    with pytest.raises(LoginError, match=problem) as raised:
        Login.read(path)
    assert str(path) in str(raised.value)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("text", ["[1]", '{"password": "hush"', "\x00"])
def test_no_object(tmp_path: Path, text: str) -> None:
    with pytest.raises(LoginError) as raised:
        Login.read(write(tmp_path, text))
    shown = raised.value
    while shown is not None:
        assert "hush" not in f"{shown!r}"
        shown = shown.__cause__  # type: ignore[assignment]


def test_others_must_not_read_it(tmp_path: Path) -> None:
    with pytest.raises(LoginError, match="0600"):
        Login.read(write(tmp_path, json.dumps(FIELDS), 0o640))


def test_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(LoginError, match="No such file"):
        Login.read(tmp_path / "none")
