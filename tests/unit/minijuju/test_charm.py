import zipfile
from pathlib import Path

import pytest

from minijuju.charm import Base, Charm, CharmError

UNIFIED = """
name: demo
type: charm
title: Demo
summary: A demonstration
description: Long.
base: ubuntu@24.04
platforms:
  amd64:
  arm64:
assumes: [k8s-api, juju >= 3.6]
charm-user: non-root
containers:
  server:
    resource: server-image
    mounts:
      - {storage: data, location: /data}
    uid: 584792
    gid: 584792
  plain:
    bases: [{name: ubuntu, channel: "24.04"}]
resources:
  server-image: {type: oci-image, description: The server, upstream-source: example/server:1}
  licence: {type: file, filename: licence.txt}
provides:
  web: {interface: http}
requires:
  db: {interface: pgsql, limit: 1, optional: true}
peers:
  ring: {interface: ring}
storage:
  data: {type: filesystem, location: /srv/data}
  logs: {type: filesystem, multiple: {range: 0-}, minimum-size: 1G, read-only: true}
config:
  options:
    log-level: {type: string, default: info, description: How much is logged}
    workers: {type: int, default: 2}
    ratio: {type: float, default: 1}
    open: {type: boolean, default: false}
    key: {type: secret}
actions:
  get-token: {description: Show the token}
  add:
    params:
      n: {type: integer}
    required: [n]
    additionalProperties: false
extra-bindings: {admin: null}
"""


def write(folder: Path, text: str, name: str = "charmcraft.yaml") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder


def test_the_unified_layout(tmp_path):
    charm = Charm.load(write(tmp_path / "demo", UNIFIED))
    assert charm.name == "demo"
    assert charm.containers["server"].mounts == (("data", "/data"),)
    assert charm.containers["server"].uid == 584792
    assert charm.containers["plain"].resource is None
    assert charm.resources["licence"].filename == "licence.txt"
    assert charm.resources["server-image"].upstream == "example/server:1"
    assert charm.provides["web"].role == "provider"
    assert charm.requires["db"].limit == 1
    assert charm.requires["db"].optional
    assert set(charm.endpoints) == {"web", "db", "ring", "juju-info"}
    assert (charm.storage["data"].minimum, charm.storage["data"].maximum) == (1, 1)
    assert (charm.storage["logs"].minimum, charm.storage["logs"].maximum) == (0, None)
    assert charm.storage["logs"].multiple
    assert charm.options["workers"].default == 2
    assert isinstance(charm.options["ratio"].default, float)
    assert charm.options["key"].default is None
    assert charm.actions["add"].schema["required"] == ["n"]
    assert not charm.actions["add"].additional_properties
    assert charm.actions["get-token"].additional_properties
    assert charm.charm_user == "non-root"
    assert charm.bases == (Base("ubuntu", "24.04", ("amd64", "arm64")),)
    assert str(charm.bases[0]) == "ubuntu@24.04"
    assert charm.extra_bindings == ("admin",)


def test_a_packed_archive_and_its_folder_are_the_same(tmp_path):
    files = {
        "metadata.yaml": "{name: demo, summary: s, description: d, provides: {web: http}}",
        "config.yaml": "options: {a: {type: int, default: 1}}\n",
        "actions.yaml": "go: {}\n",
        "manifest.yaml": "bases: [{name: ubuntu, channel: 24.04/stable, architectures: [amd64]}]",
    }
    archive = tmp_path / "demo.charm"
    with zipfile.ZipFile(archive, "w") as file:
        for name, text in files.items():
            file.writestr(name, text)
            write(tmp_path / "demo", text, name)
    packed = Charm.load(archive)
    assert packed == Charm.load(tmp_path / "demo")
    assert packed.bases == (Base("ubuntu", "24.04", ("amd64",)),)
    assert packed.options["a"].default == 1
    assert list(packed.actions) == ["go"]


@pytest.mark.parametrize(
    ("platforms", "bases"),
    [
        ("base: ubuntu@22.04\nplatforms: {amd64: }", (Base("ubuntu", "22.04", ("amd64",)),)),
        (
            "platforms: {'ubuntu@22.04:amd64': , 'ubuntu@24.04:arm64': }",
            (Base("ubuntu", "22.04", ("amd64",)), Base("ubuntu", "24.04", ("arm64",))),
        ),
        (
            "base: ubuntu@24.04\nplatforms: {p: {build-on: [amd64], build-for: [arm64]}}",
            (Base("ubuntu", "24.04", ("arm64",)),),
        ),
        (
            "bases: [{name: ubuntu, channel: '22.04', architectures: [amd64]}]",
            (Base("ubuntu", "22.04", ("amd64",)),),
        ),
        (
            "bases: [{build-on: [], run-on: [{name: ubuntu, channel: '20.04'}]}]",
            (Base("ubuntu", "20.04", ()),),
        ),
    ],
)
def test_bases(tmp_path, platforms, bases):
    assert Charm.load(write(tmp_path / "demo", f"name: demo\n{platforms}\n")).bases == bases


@pytest.mark.parametrize(
    ("text", "what", "why"),
    [
        ("[]", "charmcraft.yaml", "expected a mapping"),
        ("summary: x", "charmcraft.yaml: name", "is missing"),
        ("name: Bad_Name", "name", "not a charm name"),
        ("name: 3", "name", "expected a string, got 3"),
        ("name: d\ncontainers: {c: {resource: r}}", "containers.c.resource", "not one of"),
        (
            "name: d\nresources: {r: {type: file, filename: f}}\ncontainers: {c: {resource: r}}",
            "containers.c.resource",
            "not of type oci-image",
        ),
        ("name: d\ncontainers: {C: {}}", "containers.C", "lower-case"),
        ("name: d\ncontainers: {c: {mounts: [{storage: s}]}}", "mounts[0].storage", "not one of"),
        (
            "name: d\nstorage: {s: {type: filesystem}}\n"
            "containers: {c: {mounts: [{storage: s, location: ../x}]}}",
            "mounts[0].location",
            "not an absolute path",
        ),
        ("name: d\ncontainers: {c: {uid: 1000}}", "containers.c.uid", "1000"),
        (
            "name: d\nresources: {r: {type: file, filename: ../x}}",
            "resources.r.filename",
            "folder",
        ),
        ("name: d\nresources: {r: {type: pdf}}", "resources.r.type", "'pdf'"),
        ("name: d\nstorage: {s: {type: x}}", "storage.s.type", "'x'"),
        (
            "name: d\nstorage: {s: {type: filesystem, multiple: {range: 3-1}}}",
            "storage.s.multiple",
            "3-1",
        ),
        ("name: d\nprovides: {a: {}}", "provides.a.interface", "is missing"),
        ("name: d\nprovides: {a: {interface: x}}\nrequires: {a: {interface: x}}", "a", "another"),
        ("name: d\nprovides: {juju-x: {interface: x}}", "juju-x", "Juju's own"),
        ("name: d\nprovides: {x: {interface: juju-info}}", "provides.x", "Juju's own"),
        ("name: d\nconfig: {options: {a: {type: number}}}", "options.a.type", "'number'"),
        ("name: d\nconfig: {options: {a: {type: int, default: x}}}", "a.default", "expected int"),
        (
            "name: d\nconfig: {options: {a: {type: int, default: true}}}",
            "a.default",
            "expected int",
        ),
        ("name: d\nactions: {Bad: {}}", "actions: Bad", "not an action's name"),
        ("name: d\nactions: {juju-x: {}}", "juju-x", "Juju's own"),
        ("name: d\nactions: {a: {params: {x: 1}}}", "a.params.x", "1 is not of type"),
        ("name: d\nbase: ubuntu", "base", "ubuntu@24.04"),
        ("name: d\ncharm-user: me", "charm-user", "'me'"),
        ("name: d\nname: e", "charmcraft.yaml", "appears twice"),
    ],
)
def test_malformed_charms_name_the_key(tmp_path, text, what, why):
    with pytest.raises(CharmError) as caught:
        Charm.load(write(tmp_path / "demo", text))
    assert what in caught.value.what
    assert why in caught.value.why
    assert str(tmp_path / "demo") in str(caught.value)


def test_what_is_no_charm_at_all(tmp_path):
    with pytest.raises(CharmError, match="cannot be read: No such file"):
        Charm.load(tmp_path / "missing")
    (tmp_path / "x.charm").write_text("hello")
    with pytest.raises(CharmError, match="not a charm archive"):
        Charm.load(tmp_path / "x.charm")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CharmError, match=r"no metadata\.yaml and no charmcraft\.yaml"):
        Charm.load(tmp_path / "empty")


def test_a_large_file_in_an_archive_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.charm", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("metadata.yaml", b"#" * (64 * 1024 * 1024))
    with pytest.raises(CharmError, match="more than"):
        Charm.load(tmp_path / "x.charm")
