"""The vault: what is locked opens with its own key, as what it is, and not otherwise."""

import pytest

from minijuju import secrets
from minijuju.errors import StateError
from minijuju.secrets import SecretError, Vault


def test_the_vault(tmp_path):
    vault = Vault(tmp_path / "key")
    locked = vault.lock("id", 1, {"abc": "hidden"})
    assert b"hidden" not in locked
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert Vault(tmp_path / "key").unlock("id", 1, locked) == {"abc": "hidden"}


def test_a_content_moved_elsewhere_does_not_open(tmp_path):
    vault = Vault(tmp_path / "key")
    locked = vault.lock("id", 1, {"abc": "hidden"})
    for identity, revision in (("other", 1), ("id", 2)):
        with pytest.raises(StateError):
            vault.unlock(identity, revision, locked)


def test_another_key_does_not_open(tmp_path):
    locked = Vault(tmp_path / "one").lock("id", 1, {"abc": "hidden"})
    with pytest.raises(StateError, match="cannot be decrypted"):
        Vault(tmp_path / "two").unlock("id", 1, locked)


def test_a_damaged_key_is_said(tmp_path):
    (tmp_path / "key").write_bytes(b"nonsense")
    with pytest.raises(StateError, match="holds no key"):
        Vault(tmp_path / "key").lock("id", 1, {"abc": "x"})


@pytest.mark.parametrize(
    "text",
    [
        "9m4e2mr0ui3e8a215n4g",
        "secret:9m4e2mr0ui3e8a215n4g",
        "secret://8419cd78-4993-4c3a-928e-c646226beeee/9m4e2mr0ui3e8a215n4g",
    ],
)
def test_ids(text):
    assert secrets.parse_id(text) == "9m4e2mr0ui3e8a215n4g"


@pytest.mark.parametrize(
    "text", ["", "secret:", "secret:../../etc", "9m4e2mr0ui3e8a215n4G", "x\0"]
)
def test_what_is_no_id(text):
    with pytest.raises(SecretError, match="not valid"):
        secrets.parse_id(text)


def test_contents():
    secrets.check_content({"abc": "x", "a-1": ""})
    for wrong in ({}, {"ab": "x"}, {"1ab": "x"}, {"a_b": "x"}, {"abc": "x" * (1 << 21)}):
        with pytest.raises(SecretError) as caught:
            secrets.check_content(wrong)
        assert "xxx" not in str(caught.value)
