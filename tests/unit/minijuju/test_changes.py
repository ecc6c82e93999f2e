"""From a bundle and a model to what is to be done, what differs, and back to a bundle."""

import pytest
import yaml

from minijuju import bundle, bundle_diff, bundle_export, changes, documents
from minijuju.charm_store import CharmStore

DB = """
name: db
base: ubuntu@24.04
platforms: {amd64: }
resources: {image: {type: oci-image}}
storage: {data: {type: filesystem}}
provides: {db: {interface: pgsql}, other: {interface: pgsql-admin}}
config:
  options:
    size: {type: int, default: 1}
    text: {type: string, default: a}
"""
APP = """
name: app
base: ubuntu@24.04
platforms: {amd64: }
requires: {db: {interface: pgsql}, admin: {interface: pgsql-admin}}
"""


@pytest.fixture
def folder(tmp_path):
    for name, text in (("db", DB), ("app", APP)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "charmcraft.yaml").write_text(text)
    store = tmp_path / "store" / "db"
    store.mkdir(parents=True)
    (store / "index.yaml").write_text(
        "channels: {14/stable: 3, 14/edge: 4, 15/stable: 3}\n"
        "revisions: {3: ../../db, 4: ../../db}\n"
        "resources: {image: {1: example/x:1}}\n"
    )
    return tmp_path


def load(folder, text):
    path = folder / "bundle.yaml"
    path.write_text(text)
    return bundle.load(path, store=CharmStore(folder / "store"))


def entry(value, source="default", **more):
    return {"value": value, "source": source, **more}


def model(folder):
    """A model with both, related: status, config and details."""
    status = {
        "applications": {
            name: {
                "charm": f"local:{name}-0",
                "charm-origin": "local",
                "charm-name": name,
                "charm-rev": 0,
                "base": {"name": "ubuntu", "channel": "24.04"},
                "scale": 1,
                "exposed": False,
                "relations": {"db": [{"related-application": other}]},
            }
            for name, other in (("db", "app"), ("app", "db"))
        },
        "relations": [{"provider": "db:db", "requirer": "app:db", "type": "regular"}],
    }
    trust = {"trust": entry(False)}
    config = {
        "db": {
            "settings": {"size": entry(1, default=1), "text": entry("b", "user", default="a")},
            "application-config": {**trust, "juju-external-hostname": {"source": "unset"}},
        },
        "app": {"settings": {}, "application-config": trust},
    }
    shown = {
        name: {
            "charm": name,
            "charm-source": str(folder / name),
            "constraints": {},
            "annotations": {},
            "storage": {},
            "resources": {},
            "trust": False,
        }
        for name in ("db", "app")
    }
    return status, config, shown


def planned(folder, text, found=None):
    return changes.plan(load(folder, text), *(found or ({"applications": {}}, {}, {})))


BOTH = (
    "applications: {db: {charm: ./db, options: {text: b}}, app: {charm: ./app}}\n"
    "relations: [[app:db, db:db]]"
)


def test_a_first_deploy_is_all_there_is_in_order(folder):
    found = planned(
        folder,
        "applications:\n"
        "  db: {charm: ./db, annotations: {x: 1}, expose: true}\n"
        "  app: {charm: ./app, scale: 0}\n"
        "relations: [[app:db, db]]",
    )
    methods = ["deploy", "annotate", "expose", "deploy", "integrate"]
    assert [change.method for change in found] == methods
    assert found[0].line == f"deploy application db with 1 unit on ubuntu@24.04 using {folder}/db"
    assert found[0].params["num_units"] == 1
    assert found[1].params == {"application": "db", "annotations": {"x": "1"}}
    assert found[2].line.startswith("expose all endpoints of db and allow access from CIDRs")
    assert found[3].params["num_units"] == 0
    assert found[4].line == "add relation app:db - db:db"


FAR = (
    "saas: {store: {url: admin/n.db}}\n"
    "applications: {app: {charm: ./app}, db: {charm: ./db}}\n"
    "relations: [[store, app:db]]\n"
    "---\n"
    "applications: {db: {offers: {mine: {endpoints: [db], acl: {admin: admin}}}}}"
)


def test_offers_are_consumed_and_made(folder):
    found = planned(folder, FAR)
    assert [change.line for change in found[2:]] == [
        "consume offer store at admin/n.db",
        "create offer mine using db:db",
        "add relation app:db - store",
    ]
    assert found[2].params == {"url": "admin/n.db", "name": "store"}
    assert found[3].params == {"application": "db", "endpoints": ["db"], "name": "mine"}
    assert found[4].params == {"endpoints": ["app:db", "store"]}


def test_offers_that_are_there_stay(folder):
    status, config, shown = model(folder)
    status["application-endpoints"] = {"store": {"url": "admin/n.db"}}
    status["offers"] = {"mine": {"application": "db", "endpoints": {"db": {}}}}
    status["applications"]["app"]["relations"] = {"db": [{"related-application": "store"}]}
    config["db"]["settings"]["text"] = entry("a", default="a")
    assert planned(folder, FAR, (status, config, shown)) == []
    status["offers"]["mine"]["endpoints"] = {}
    (change,) = planned(folder, FAR, (status, config, shown))
    assert change.method == "offer"


def test_offers_are_exported(folder):
    status, config, shown = model(folder)
    status["application-endpoints"] = {"store": {"url": "admin/n.db"}}
    status["offers"] = {"mine": {"application": "db", "endpoints": {"db": {}}}}
    status["relations"] = [
        {"provider": "store:db", "requirer": "app:db", "type": "regular"},
        {"provider": "db:db", "requirer": "remote-0a:db", "type": "regular"},
    ]
    document = bundle_export.export(status, config, shown)
    assert document["saas"] == {"store": {"url": "admin/n.db"}}
    assert document["relations"] == [["app:db", "store:db"]]
    assert bundle_export.overlay(status) == {
        "applications": {
            "db": {"offers": {"mine": {"endpoints": ["db"], "acl": {"admin": "admin"}}}}
        }
    }


def test_a_second_deploy_changes_nothing(folder):
    assert planned(folder, BOTH, model(folder)) == []


def test_a_second_deploy_changes_what_differs(folder):
    text = (
        "applications:\n"
        "  db: {charm: ./db, scale: 3, trust: true, expose: true, constraints: mem=1G,\n"
        "       annotations: {x: y}, options: {size: 2, text: b, juju-external-hostname: h}}\n"
        "  app: {charm: ./app}\n"
        "relations: [[app:db, db:db], [app:admin, db:other]]"
    )
    found = planned(folder, text, model(folder))
    settings = {"size": 2, "juju-external-hostname": "h"}
    assert [(change.method, dict(change.params)) for change in found] == [
        ("config_set", {"application": "db", "settings": settings, "reset": []}),
        ("set_constraints", {"application": "db", "constraints": "mem=1024M"}),
        ("scale_application", {"application": "db", "scale": 3}),
        ("trust", {"application": "db"}),
        ("annotate", {"application": "db", "annotations": {"x": "y"}}),
        ("expose", {"application": "db"}),
        ("integrate", {"endpoints": ["app:admin", "db:other"]}),
    ]


def test_what_is_as_wished_already_stays(folder):
    status, config, shown = model(folder)
    status["applications"]["db"]["exposed"] = True
    shown["db"]["constraints"] = {"mem": 1024}
    shown["db"]["annotations"] = {"x": "y", "more": "z"}
    config["db"]["application-config"]["juju-external-hostname"] = entry("h", "user")
    text = (
        "applications: {db: {charm: ./db, expose: true, constraints: mem=1G, annotations: {x: y},"
        " options: {juju-external-hostname: h}}}"
    )
    assert planned(folder, text, (status, config, shown)) == []


def test_a_charm_of_the_store(folder):
    (change,) = planned(folder, "applications: {db: {charm: db, channel: 14/stable}}")
    assert change.line == (
        "deploy application db from charm-hub with 1 unit on ubuntu@24.04 using db"
    )
    assert (change.params["channel"], change.params["revision"]) == ("14/stable", 3)
    assert change.params["resources"] == {"image": "example/x:1"}


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        ("14/stable", None),
        ("14/edge", {"revision": 4, "resources": {"image": "example/x:1"}}),
        # The same revision: no unit has to stop for it.
        ("15/stable", {"revision": 3}),
    ],
)
def test_a_charm_of_the_store_follows_the_bundle(folder, channel, expected):
    status, config, shown = model(folder)
    status["applications"]["db"].update(
        {"charm-origin": "charmhub", "charm-rev": 3, "charm-channel": "14/stable"}
    )
    text = f"applications: {{db: {{charm: db, channel: {channel}}}}}"
    found = planned(folder, text, (status, config, shown))
    if expected is None:
        assert found == []
        return
    (change,) = found
    assert change.line == f"upgrade db from charm-hub using charm db from channel {channel}"
    place = {"path": str(folder / "db")} if "resources" in expected else {}
    assert change.params == {"application": "db", "channel": channel, **place, **expected}


# diff-bundle.


def differing(folder, text, found, **options):
    return bundle_diff.diff(load(folder, text), *found, **options)


def test_no_difference(folder):
    assert differing(folder, BOTH, model(folder)) == {}


def test_differences(folder):
    found = model(folder)
    found[0]["applications"]["left"] = found[0]["applications"]["app"]
    found[2]["db"]["annotations"] = {"x": "model"}
    text = (
        "applications:\n"
        "  db: {charm: ./app, scale: 2, expose: true, constraints: mem=1G}\n"
        "  new: {charm: ./app}\n"
        "  app: {charm: ./app, annotations: {x: y}}\n"
    )
    document = differing(folder, text, found)
    assert document == {
        "applications": {
            "db": {
                "charm": {"bundle": str(folder / "app"), "model": str(folder / "db")},
                "scale": {"bundle": 2, "model": 1},
                "expose": {"bundle": True, "model": False},
                "constraints": {"bundle": "mem=1024M", "model": ""},
                "exposed_endpoints": {
                    "": {"bundle": {"expose-to-cidrs": ["0.0.0.0/0", "::/0"]}, "model": None}
                },
                "options": {"text": {"bundle": None, "model": "b"}},
            },
            "left": {"missing": "bundle"},
            "new": {"missing": "model"},
        },
        "relations": {"model-additions": [["app:db", "db:db"]]},
    }
    both = differing(folder, text, found, annotations=True)
    assert both["applications"]["app"] == {"annotations": {"x": {"bundle": "y", "model": ""}}}
    assert both["applications"]["db"]["annotations"] == {"x": {"bundle": "", "model": "model"}}


def test_differences_of_a_charm_of_the_store(folder):
    found = model(folder)
    found[0]["applications"]["db"].update(
        {"charm-origin": "charmhub", "charm-rev": 3, "charm-channel": "14/edge"}
    )
    del found[0]["applications"]["app"], found[0]["relations"]
    text = "applications: {db: {charm: db, channel: 14/stable, options: {text: b}}}"
    assert differing(folder, text, found) == {
        "applications": {"db": {"channel": {"bundle": "14/stable", "model": "14/edge"}}}
    }


# export-bundle.


def test_what_is_exported_deploys_the_same_again(folder):
    found = model(folder)
    status, config, shown = found
    status["applications"]["db"].update({"scale": 2, "exposed": True})
    shown["db"].update(
        {
            "constraints": {"mem": 1024},
            "annotations": {"x": "y"},
            "trust": True,
            "storage": {"data": {"count": 1, "size": 2 * 1024**3}},
            "resources": {"image": {"type": "oci-image", "source": "example/x:1"}},
        }
    )
    config["db"]["application-config"]["trust"] = entry(True, "user")
    config["db"]["application-config"]["juju-external-hostname"] = entry("h", "user")
    document = bundle_export.export(*found)
    assert document == {
        "bundle": "kubernetes",
        "applications": {
            "app": {"charm": str(folder / "app"), "base": "ubuntu@24.04/stable", "scale": 1},
            "db": {
                "charm": str(folder / "db"),
                "base": "ubuntu@24.04/stable",
                "scale": 2,
                "resources": {"image": "example/x:1"},
                "expose": True,
                "options": {"juju-external-hostname": "h", "text": "b"},
                "annotations": {"x": "y"},
                "constraints": "mem=1024M",
                "storage": {"data": "kubernetes,1,2048M"},
                "trust": True,
            },
        },
        "relations": [["app:db", "db:db"]],
    }
    text = documents.dump(document)
    assert yaml.safe_load(text) == document
    assert planned(folder, text, found) == []
    assert differing(folder, text, found) == {}
    assert bundle_export.export(*found, defaults=True)["applications"]["db"]["options"] == {
        "juju-external-hostname": "h",
        "size": 1,
        "text": "b",
    }


def test_a_charm_of_the_store_is_exported_by_its_name(folder):
    status, config, shown = model(folder)
    del status["applications"]["app"], status["relations"]
    status["applications"]["db"].update(
        {"charm-origin": "charmhub", "charm-rev": 3, "charm-channel": "14/stable"}
    )
    body = bundle_export.export(status, config, shown)["applications"]["db"]
    assert (body["charm"], body["channel"], body["revision"]) == ("db", "14/stable", 3)
    text = documents.dump({"applications": {"db": body}})
    assert planned(folder, text, (status, config, shown)) == []
