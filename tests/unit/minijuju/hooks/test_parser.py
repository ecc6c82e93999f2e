"""How the arguments of a hook command are read."""

import pytest

from minijuju.hooks.parser import UsageError, parse


def test_parsing():
    found = parse(
        ["a", "-r", "1", "--app", "--x=y", "-", "--", "--z"], {"r": "relation", "x": "x"}, ["app"]
    )
    assert found.rest == ("a", "-", "--z")
    assert (found.get("relation"), found.get("x"), found.on("app")) == ("1", "y", True)
    assert not parse(["--app=False"], {}, ["app"]).on("app")
    for wrong in (["--r"], ["--nothing"], ["-q"]):
        with pytest.raises(UsageError):
            parse(wrong, {"r": "r"})
    with pytest.raises(UsageError):
        parse(["--app=perhaps"], {}, ["app"]).on("app")
