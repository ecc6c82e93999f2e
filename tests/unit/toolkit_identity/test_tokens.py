"""The token file: what is read from it, what is refused, and that changes take effect."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit_identity import TokenFile, TokenFileError, generate_token

ONE = "a" * 20
TWO = "b" * 20


def write(path, text, mode=0o600):
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode)
    os.fchmod(descriptor, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def replace(path, text):
    fresh = path.with_name("fresh")
    write(fresh, text)
    fresh.replace(path)


def test_several_tokens_are_known_by_name(tmp_path):
    write(tmp_path / "tokens", f"# who may come in\n\none:{ONE}\n two:{TWO} \n")
    tokens = TokenFile(tmp_path / "tokens")
    assert tokens.names() == ("one", "two")
    assert tokens.verify(ONE) == "one"
    assert tokens.verify(TWO) == "two"


@pytest.mark.parametrize(
    "wrong", ["", "nothing", ONE[:-1], ONE + "a", ONE.upper(), f"one:{ONE}", "\udcff"]
)
def test_anything_else_is_unknown(tmp_path, wrong):
    write(tmp_path / "tokens", f"one:{ONE}\n")
    assert TokenFile(tmp_path / "tokens").verify(wrong) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "holds no token"),
        ("# only a comment\n", "holds no token"),
        (ONE, "not a token line"),
        (f":{ONE}", "not a token line"),
        (f"a b:{ONE}", "not a token line"),
        ("one:short", "16 to 512"),
        (f"one:{'x' * 513}", "16 to 512"),
        (f"one:{ONE} {ONE}", "16 to 512"),
        (f"one:{ONE}\none:{TWO}", "second token"),
        (f"öne:{ONE}", "ASCII"),
    ],
)
def test_a_malformed_file_is_refused_without_showing_its_secrets(tmp_path, text, reason):
    (tmp_path / "tokens").touch(0o600)
    (tmp_path / "tokens").write_text(text, encoding="utf-8")
    with pytest.raises(TokenFileError, match=reason) as caught:
        TokenFile(tmp_path / "tokens")
    assert ONE not in str(caught.value)
    assert str(tmp_path / "tokens") in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620])
def test_a_file_that_others_may_touch_is_refused(tmp_path, mode):
    write(tmp_path / "tokens", f"one:{ONE}\n", mode)
    with pytest.raises(TokenFileError, match="0600"):
        TokenFile(tmp_path / "tokens")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(TokenFileError, match="No such file"):
        TokenFile(tmp_path / "tokens")
    (tmp_path / "folder").mkdir(0o700)
    with pytest.raises(TokenFileError, match="not a regular file"):
        TokenFile(tmp_path / "folder")


def test_a_rotation_takes_effect_at_once(tmp_path):
    path = tmp_path / "tokens"
    write(path, f"old:{ONE}\n")
    tokens = TokenFile(path)
    replace(path, f"old:{ONE}\nnew:{TWO}\n")
    assert (tokens.verify(ONE), tokens.verify(TWO)) == ("old", "new")
    replace(path, f"new:{TWO}\n")
    assert (tokens.verify(ONE), tokens.verify(TWO)) == (None, "new")


def test_a_file_that_breaks_later_lets_nobody_in_until_it_is_mended(tmp_path):
    path = tmp_path / "tokens"
    write(path, f"one:{ONE}\n")
    tokens = TokenFile(path)
    replace(path, "rubbish\n")
    for _ in range(2):
        with pytest.raises(TokenFileError):
            tokens.verify(ONE)
    path.unlink()
    with pytest.raises(TokenFileError):
        tokens.verify(ONE)
    write(path, f"one:{ONE}\n")
    assert tokens.verify(ONE) == "one"


def test_generated_tokens_differ_and_are_accepted(tmp_path):
    made = {generate_token() for _ in range(50)}
    assert len(made) == 50
    write(tmp_path / "tokens", "".join(f"t{n}:{secret}\n" for n, secret in enumerate(made)))
    tokens = TokenFile(tmp_path / "tokens")
    assert all(tokens.verify(secret) for secret in made)


@given(st.text(max_size=600))
def test_no_text_but_the_secret_is_let_in(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "hypothesis-tokens"
    if not path.exists():
        write(path, f"one:{ONE}\n")
    assert TokenFile(path).verify(text) == ("one" if text == ONE else None)
