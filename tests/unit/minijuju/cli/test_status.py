import json
import os
import re

import pytest
import yaml

from minijuju.cli import render, status


@pytest.fixture
def shown(documents_of):
    make = documents_of
    document = make.status(
        db=make.application(
            "db",
            units=2,
            relations={
                "db": [{"related-application": "app", "interface": "pgsql", "scope": "global"}],
                "ring": [{"related-application": "db", "interface": "ring", "scope": "global"}],
            },
        ),
        app=make.application(
            "app",
            status="blocked",
            message="say \x1b[31mwhat\nnow",
            relations={
                "sql": [{"related-application": "db", "interface": "pgsql", "scope": "global"}]
            },
        ),
    )
    document["relations"] = [
        {"provider": "db:db", "requirer": "app:sql", "interface": "pgsql", "type": "regular"},
        {
            "provider": "db:ring",
            "requirer": "db:ring",
            "interface": "ring",
            "type": "peer",
            "message": "removing",
        },
    ]
    document["storage"] = {
        "storage": {
            "data/0": {
                "kind": "filesystem",
                "status": {"current": "attached"},
                "persistent": False,
                "attachments": {"units": {"db/0": {"life": "alive"}}},
            }
        },
        "filesystems": {"0": {"storage": "data/0", "pool": "kubernetes", "size": 1024}},
    }
    return document


TABLES = """\
Model  Controller  Cloud/Region  Version  Timestamp
m      minijuju    localhost     3.6.12   12:00:00Z

App  Version  Status   Scale  Charm  Channel  Rev  Address    Exposed  Message
app           blocked  1      app             0    127.0.0.9  no       say \\x1b[31mwhat now
db            active   2      db              0    127.0.0.9  no

Unit    Workload  Agent  Address    Ports              Message
app/0*  blocked   idle   127.0.1.0  80,443/tcp 53/udp  say \\x1b[31mwhat now
db/0*   active    idle   127.0.1.0  80,443/tcp 53/udp
db/1    active    idle   127.0.1.1  80,443/tcp 53/udp

Integration provider  Requirer  Interface  Type     Message
db:db                 app:sql   pgsql      regular
db:ring               db:ring   ring       peer     removing

Storage Unit  Storage ID  Type        Pool        Size      Status    Message
db/0          data/0      filesystem  kubernetes  1024 MiB  attached
"""


def test_the_tables(run, fake, shown):
    fake.answers["status"] = shown
    result = run("status", "-m", "m", "--relations", "--storage")
    assert (result.code, result.err) == (0, "")
    assert result.out == TABLES
    assert fake.params("status") == {"model": "m"}


def test_json_and_yaml_are_jujus_documents(run, fake, shown, tmp_path):
    fake.answers["status"] = dict(shown)
    del shown["relations"]
    assert json.loads(run("status", "-m", "m", "--format", "json").out) == shown
    assert yaml.safe_load(run("status", "-m", "m", "--format=yaml").out) == shown
    result = run("status", "-m", "m", "--format", "json", "-o", str(tmp_path / "out"))
    assert result.out == ""
    assert json.loads((tmp_path / "out").read_text()) == shown


def test_lines(run, fake, shown):
    fake.answers["status"] = shown
    out = run("status", "-m", "m", "--format", "line").out
    assert out.splitlines()[0] == (
        "- app/0: 127.0.1.0 (agent:idle, workload:blocked) 80,443/tcp 53/udp"
    )
    assert len(out.splitlines()) == 3


def test_unknown_format(run, fake):
    result = run("status", "--format", "xml")
    assert result.code == 2
    assert "invalid choice: 'xml'" in result.err


@pytest.mark.parametrize(
    ("patterns", "units"),
    [
        (["db"], ["db/0", "db/1"]),
        (["db/1"], ["db/1"]),
        (["d*"], ["db/0", "db/1"]),
        (["*/0"], ["app/0", "db/0"]),
        (["blocked"], ["app/0"]),
        (["app", "db/0"], ["app/0", "db/0"]),
        (["none"], []),
    ],
)
def test_filters(shown, patterns, units):
    chosen = render.select(shown, patterns)
    found = [u for _, a in sorted(chosen["applications"].items()) for u in a["units"]]
    assert found == units
    assert bool(chosen["storage"]["storage"]) == ("db/0" in units)
    kept = {entry["provider"] for entry in chosen["relations"]}
    assert kept == {"db:db", "db:ring"} & (
        {"db:db"} if units == ["app/0"] else kept if units else set()
    )


def test_a_filter_that_matches_nothing(run, fake, shown):
    fake.answers["status"] = shown
    result = run("status", "-m", "m", "none")
    assert (result.code, result.out) == (0, "")
    assert "Nothing matched specified filter." in result.err


def test_colours_only_where_wanted(run, fake, shown, tmp_path):
    fake.answers["status"] = shown
    assert "\x1b[" not in run("status", "-m", "m").out
    out = run("status", "-m", "m", "--color").out
    assert "\x1b[31mblocked\x1b[0m" in out
    assert not re.search(r"\x1b\[\d+m\x1b", out), "a colour around nothing"
    assert "\x1b[32mactive\x1b[0m" in out
    assert "\x1b[" not in run("status", "-m", "m", "--no-color").out
    run("status", "-m", "m", "--color", "-o", str(tmp_path / "out"))
    assert "\x1b[" not in (tmp_path / "out").read_text()


def test_an_empty_model(run, fake, documents_of):
    fake.answers["status"] = documents_of.status()
    assert 'Model "admin/m" is empty.' in run("status", "-m", "m").out


def test_scale_that_is_not_reached_yet(documents_of):
    document = documents_of.status(db={**documents_of.application("db", units=1), "scale": 3})
    assert " 1/3 " in render.tabular(document)


def test_units_are_in_the_order_of_their_numbers(documents_of):
    document = documents_of.status(db=documents_of.application("db", units=11))
    lines = [line for line in render.tabular(document).splitlines() if line.startswith("db/")]
    assert lines[-1].startswith("db/10 ")


def test_watch_shows_changes_until_interrupted(run, fake, documents_of):
    seen = iter(["active", "active", "blocked"])

    def answer(params):
        try:
            state = next(seen)
        except StopIteration:
            return {"error": {"code": "failed", "message": "enough"}}
        return documents_of.status(db=documents_of.application("db", status=state))

    fake.answers["status"] = answer
    result = run("status", "-m", "m", "--watch", "0.1")
    assert (result.code, result.err) == (1, "ERROR enough\n")
    assert result.out.count("Controller") == 2


def test_a_frame_fits_the_screen(monkeypatch):
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((80, 5)))
    frame = status._frame("\n".join(str(number) for number in range(10)))
    assert frame.startswith("\x1b[H0\x1b[K\n")
    assert frame.count("\n") == 4
