"""Storage, resources, and the charm store."""

import json
import zipfile

import pytest
import yaml

STORAGE = {
    "storage": {
        "data/0": {
            "kind": "filesystem",
            "life": "alive",
            "status": {"current": "attached"},
            "attachments": {"units": {"db/0": {"life": "alive"}}},
        }
    },
    "filesystems": {
        "0": {
            "storage": "data/0",
            "provider-id": "abc",
            "pool": "kubernetes",
            "size": 1024,
            "status": {"current": "attached"},
            "attachments": {"units": {"db/0": {"life": "alive"}}},
        }
    },
}


@pytest.fixture(autouse=True)
def model(monkeypatch, data):
    monkeypatch.setenv("JUJU_MODEL", "m")


def test_storage(run, fake):
    fake.answers["storage"] = STORAGE
    lines = run("list-storage").out.splitlines()
    assert lines[0].split() == [
        *("Unit", "Storage", "ID", "Type", "Pool", "Size", "Status", "Message")
    ]
    assert lines[1].split()[:4] == ["db/0", "data/0", "filesystem", "kubernetes"]
    assert "abc" in run("storage", "--filesystem").out
    assert json.loads(run("storage", "--format", "json").out) == STORAGE
    found = json.loads(run("storage", "--filesystem", "--format", "json").out)
    assert found == {"filesystems": STORAGE["filesystems"]}
    assert run("storage", "--volume").err == "No storage to display.\n"
    assert run("storage", "--volume", "--filesystem").code == 2
    assert yaml.safe_load(run("show-storage", "data/0").out) == STORAGE["storage"]
    assert run("show-storage", "data/9").err == 'ERROR storage "data/9" not found\n'
    fake.answers["storage"] = {}
    assert run("storage").err == "No storage to display.\n"
    assert run("storage-pools").out.splitlines()[1] == "kubernetes  kubernetes"
    assert "kubernetes" in json.loads(run("storage-pools", "--format", "json").out)


def test_remove_storage(run, fake):
    fake.answers["remove_storage"] = None
    # Juju asks nobody either.
    assert run("remove-storage", "data/0").err == "removing data/0\n"
    assert fake.params("remove_storage") == {"model": "m", "storage": ["data/0"]}


def test_resources(run, fake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = {"name": "image", "origin": "upload", "type": "oci-image", "source": "/x"}
    fake.answers["resources"] = [{**entry, "description": "An\nimage.", "path": ""}]
    assert run("resources", "db").out.splitlines()[1] == (
        "image     upload       oci-image  /x      An image."
    )
    (found,) = json.loads(run("list-resources", "db", "--format", "json").out)["resources"]
    assert found["source"] == "/x"
    fake.answers["resources"] = []
    assert run("resources", "db").err == "No resources to display.\n"
    fake.answers["refresh"] = {}
    (tmp_path / "image").mkdir()
    assert run("attach-resource", "db", "image=./image").code == 0
    assert fake.params("refresh") == {
        "model": "m",
        "application": "db",
        "resources": {"image": str(tmp_path / "image")},
    }
    assert run("attach-resource", "db", "image").code == 1


# The charm store.


@pytest.fixture
def store(tmp_path, charm, monkeypatch):
    folder = tmp_path / "store"
    (folder / "demo").mkdir(parents=True)
    (folder / "demo" / "index.yaml").write_text(
        "channels: {stable: 3, edge: 4}\nrevisions: {3: packed.charm, 4: ../../demo}\n"
        "resources: {image: {7: example/x:1}}\n"
    )
    for path, name in ((folder / "demo/packed.charm", "demo"), (folder / "other.charm", "other")):
        with zipfile.ZipFile(path, "w") as file:
            meta = f"{{name: {name}, summary: A {name}., description: d}}"
            file.writestr("metadata.yaml", meta)
            file.writestr("manifest.yaml", "bases: [{name: ubuntu, channel: '24.04'}]")
    (folder / "broken.charm").touch()
    monkeypatch.setenv("MINIJUJU_CHARM_STORE", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def test_find(run, store):
    result = run("find")
    assert [line.split()[0] for line in result.out.splitlines()] == ["Name", "demo", "other"]
    assert "WARNING charm" in result.err
    (found,) = json.loads(run("find", "OTHER", "--format", "json").out)
    assert (found["name"], found["summary"]) == ("other", "A other.")
    assert run("find", "nothing").err.endswith('No matching charms or bundles for "nothing"\n')


def test_info(run, store):
    found = yaml.safe_load(run("info", "demo", "--format", "yaml").out)
    assert found["channels"] == {
        "latest/stable": {"revision": 3, "resources": {}},
        "latest/edge": {"revision": 4, "resources": {}},
    }
    assert found["relations"]["provides"] == {"web": "http"}
    assert found["resources"] == {"image": [7]}
    shown = yaml.safe_load(run("info", "ch:demo").out)
    assert shown["channels"].splitlines() == ["latest/stable:  3", "latest/edge:    4"]
    assert run("info", "demo", "--channel", "stable").code == 0
    assert 'charm or bundle "none" not found' in run("info", "none").err


def test_charm_resources(run, store):
    lines = run("charm-resources", "demo", "--channel", "edge").out.splitlines()
    assert [line.split() for line in lines[1:]] == [["image", "7"], ["licence", "-"]]
    found = json.loads(run("charm-resources", "demo", "--channel", "edge", "--format", "json").out)
    assert found[0]["revision"] == 7
    assert run("charm-resources", "demo").err == "No resources to display.\n"


def test_download(run, store, tmp_path):
    result = run("download", "demo")
    assert 'Fetched charm "demo", revision 3 in channel latest/stable' in result.err
    assert (tmp_path / "demo_r3.charm").read_bytes() == (store / "demo/packed.charm").read_bytes()
    assert "exists" in run("download", "demo").err
    assert run("download", "demo", "--filepath", "x.charm", "--revision", "3").code == 0
    assert (tmp_path / "x.charm").exists()
    assert "is the source folder" in run("download", "demo", "--channel", "edge").err
    assert run("download", "demo", "--channel", "edge", "--revision", "3").code == 1


def test_without_a_store(run, store, monkeypatch):
    monkeypatch.delenv("MINIJUJU_CHARM_STORE")
    for argv in (["find", "x"], ["info", "x"], ["download", "x"], ["charm-resources", "x"]):
        result = run(*argv)
        assert (result.code, "--charm-store" in result.err) == (1, True)
