"""The vault: what is locked opens with its own key, as what it is, and not otherwise."""

import pytest

from minijuju.errors import StateError
from minijuju.vault import Vault


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
