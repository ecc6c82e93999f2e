"""The way into a network, as its keeper has left it on disk."""

import json
import os

import pytest

from sandbox import egress, entrance
from sandbox.errors import SandboxError
from sandbox.process import Identity
from sandbox.spec import Network


def answer(folder, **changes):
    own = Identity.of(os.getpid())
    switch = {"pid": own.pid, "started": own.started, "boot": own.boot, **changes}
    document = {"generation": 1, "switch": switch, "namespaces": {"one": 7}, "failed": {}}
    (folder / "applied.json").write_text(json.dumps(document))


def test_nothing_is_entered_without_a_network():
    assert entrance.prefix(None) == []


def test_a_member_is_entered_by_its_keepers_descriptor(tmp_path):
    answer(tmp_path)
    program, *words = entrance.prefix(Network(tmp_path, "one"), patience=0)
    assert program.endswith("/nsenter")
    own = os.getpid()
    assert words == [
        f"--user=/proc/{own}/ns/user",
        f"--net=/proc/{own}/fd/7",
        "--preserve-credentials",
        "--",
    ]


@pytest.mark.parametrize("changes", [None, {"started": 1}, {"boot": "another"}])
def test_a_keeper_that_is_gone_gives_no_way_in(tmp_path, changes):
    if changes is not None:
        answer(tmp_path, **changes)
    with pytest.raises(SandboxError, match="one has no network"):
        entrance.prefix(Network(tmp_path, "one"), patience=0)


def test_a_stranger_has_no_network(tmp_path):
    answer(tmp_path)
    with pytest.raises(SandboxError, match="two has no network"):
        entrance.prefix(Network(tmp_path, "two"), patience=0)


def test_without_the_program_the_remedy_is_named(tmp_path, monkeypatch):
    answer(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="install util-linux"):
        entrance.prefix(Network(tmp_path, "one"), patience=0)


def test_a_network_with_a_way_out_has_a_name_server(tmp_path):
    network = Network(tmp_path, "one")
    assert entrance.resolver(None) == ""
    assert entrance.resolver(network) == ""
    answer(tmp_path)
    # A keeper of an earlier version says nothing of it.
    assert entrance.resolver(network) == ""
    document = json.loads((tmp_path / "applied.json").read_text())
    (tmp_path / "applied.json").write_text(json.dumps({**document, "resolver": egress.RESOLVER}))
    assert entrance.resolver(network) == egress.RESOLVER
