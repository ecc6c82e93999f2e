"""What the verbs of offers ask of the controller, and what they print."""

import json

import pytest
import yaml

END = {"db": {"interface": "pgsql", "role": "provider"}}
OFFER = {
    "application": "db",
    "store": "minijuju",
    "charm": "local:db-0",
    "offer-url": "admin/m.db",
    "endpoints": END,
    "users": {},
}
CONNECTED = {
    **OFFER,
    "connections": [
        {
            "source-model-uuid": "u",
            "username": "admin",
            "relation-id": 3,
            "endpoint": "db",
            "status": {"current": "joined"},
        }
    ],
}
DETAILS = {"admin/m.db": {"description": "", "access": "admin", "endpoints": END, "users": {}}}


@pytest.fixture(autouse=True)
def model(monkeypatch, data):
    monkeypatch.setenv("JUJU_MODEL", "m")


@pytest.mark.parametrize(
    ("argv", "asked"),
    [
        (["db:db"], ("m", "db", ["db"], "")),
        (["db:db,admin", "store"], ("m", "db", ["db", "admin"], "store")),
        (["prod.db:db"], ("prod", "db", ["db"], "")),
        (["admin/prod.db:db"], ("prod", "db", ["db"], "")),
        (["minijuju:admin/prod.db:db", "-c", "minijuju"], ("prod", "db", ["db"], "")),
    ],
)
def test_offer(run, fake, argv, asked):
    fake.answers["offer"] = {"url": "admin/prod.db", "endpoints": ["db"]}
    result = run("offer", *argv)
    assert (result.code, result.out) == (0, "")
    assert 'endpoints [db] available at "admin/prod.db"' in result.err
    model, application, endpoints, name = asked
    assert fake.params("offer") == {
        "model": model,
        "application": application,
        "endpoints": endpoints,
        "name": name,
    }


def test_offer_needs_endpoints(run, fake):
    result = run("offer", "db")
    assert (result.code, "must conform to format" in result.err) == (2, True)


def test_offers(run, fake):
    fake.answers["offers"] = {"db": CONNECTED, "idle": {**OFFER, "application": "x"}}
    lines = [line.split() for line in run("offers").out.splitlines()]
    assert lines[1:] == [["db", "admin", "3", "joined", "db", "pgsql", "provider"], ["idle", "-"]]
    lines = [line.split() for line in run("offers", "--format", "summary").out.splitlines()]
    assert lines[1][:5] == ["db", "db", "1", "minijuju", "admin/m.db"]
    for argv in (["db"], ["--application", "db"]):
        assert list(json.loads(run("list-offers", *argv, "--format", "json").out)) == ["db"]
    assert run("offers", "--interface", "none").err == "No offers to display.\n"


def test_find_and_show(run, fake):
    fake.answers["find_offers"] = DETAILS
    fake.answers["show_offer"] = DETAILS
    line = run("find-offers", "--interface", "pgsql", "prod").out.splitlines()[1]
    assert line.split() == ["minijuju", "admin/m.db", "admin", "db", "pgsql", "provider"]
    assert fake.params("find_offers") == {"model": "prod", "offer": "", "interface": "pgsql"}
    assert run("find-offers", "--url", "admin/prod.db").code == 0
    assert fake.params("find_offers") == {"model": "prod", "offer": "db", "interface": ""}
    assert run("find-offers", "minijuju:").code == 0
    assert fake.params("find_offers")["model"] == ""
    found = yaml.safe_load(run("show-offer", "m.db", "--format", "yaml").out)
    assert list(found) == ["minijuju:admin/m.db"]
    fake.answers["find_offers"] = {}
    result = run("find-offers")
    assert (result.code, result.err) == (1, "ERROR no matching application offers found\n")


def test_consume(run, fake):
    fake.answers["consume"] = {"name": "store", "url": "admin/prod.db"}
    assert run("consume", "prod.db", "store").err == "Added minijuju:admin/prod.db as store\n"
    assert fake.params("consume") == {"model": "m", "url": "prod.db", "name": "store"}


def test_removal(run, fake):
    fake.answers["remove_offer"] = None
    assert run("remove-offer", "db", "admin/prod.x").code == 0
    assert fake.params("remove_offer") == {"urls": ["m.db", "admin/prod.x"], "force": False}
    assert run("remove-offer", "db", "--force").code == 1
    assert run("remove-offer", "db", "--force", "-y").code == 0
    fake.answers["remove_saas"] = None
    assert run("remove-saas", "store").err == "removing SAAS application store\n"
    assert fake.params("remove_saas") == {"model": "m", "names": ["store"], "force": False}
    assert run("remove-saas", "store", "--no-wait").code == 1
    assert run("remove-saas", "store", "--no-wait", "--force").code == 0
    assert fake.params("remove_saas")["force"]


def test_status_shows_both(run, fake, documents_of):
    status = documents_of.status(app=documents_of.application("app"))
    status["application-endpoints"] = {
        "store": {"url": "admin/prod.db", "application-status": {"current": "active"}}
    }
    status["offers"] = {
        "web": {
            "application": "app",
            "charm": "local:app-0",
            "active-connected-count": 1,
            "total-connected-count": 2,
            "endpoints": {"http": {"interface": "http", "role": "provider"}},
        }
    }
    fake.answers["status"] = status
    out = run("status").out
    assert [line.split() for line in out.splitlines() if "prod" in line] == [
        ["store", "active", "minijuju", "admin/prod.db"]
    ]
    assert "web    app          local:app-0  1/2        http      http       provider" in out
    assert json.loads(run("status", "--format", "json").out)["offers"] == status["offers"]
