import pytest

from minijuju.charm_store import CharmStore, StoreError
from minijuju.errors import NotFoundError

INDEX = """
default-track: "14"
channels:
  14/stable: {revision: 281, resources: {image: 149}}
  edge: 300
  14/edge/fix: 301
  "15": 302
revisions: {281: a.charm, 300: ./source, 301: a.charm, 302: a.charm}
resources: {image: {149: ./image, 150: example/db:1}}
"""


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "db"
    folder.mkdir()
    (folder / "index.yaml").write_text(INDEX)
    (folder / "a.charm").touch()
    (folder / "source").mkdir()
    (folder / "image").mkdir()
    (tmp_path / "one.charm").touch()
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "charmcraft.yaml").touch()
    (tmp_path / "Not_One.charm").touch()
    (tmp_path / "empty").mkdir()
    return CharmStore(tmp_path)


def test_names(store):
    assert store.names() == ["db", "one", "two"]


@pytest.mark.parametrize(
    ("channel", "found"),
    [
        (None, ("14/stable", 281)),
        ("stable", ("14/stable", 281)),
        ("14", ("14/stable", 281)),
        # Nothing of their own: what the next more stable channel has.
        ("candidate", ("14/candidate", 281)),
        ("14/beta/other", ("14/beta/other", 281)),
        ("14/edge", ("14/edge", 300)),
        ("edge/fix", ("14/edge/fix", 301)),
        ("15/edge", ("15/edge", 302)),
    ],
)
def test_channels(store, channel, found):
    release = store.release("db", channel)
    assert (release.channel, release.revision) == found


def test_a_release_has_its_file_and_its_resources(store, tmp_path):
    release = store.release("db", "stable")
    assert release.path == tmp_path / "db" / "a.charm"
    assert release.resources == {"image": (149, str(tmp_path / "db" / "image"))}
    assert store.release("db", "edge").resources == {"image": (150, "example/db:1")}
    assert store.release("db", "edge", 281).revision == 281
    assert store.release("db", "edge", 281).resources == {"image": (150, "example/db:1")}
    assert store.release("db", "stable", 281).resources["image"][0] == 149


def test_a_single_charm_is_in_every_channel(store, tmp_path):
    for name, place in (("one", "one.charm"), ("two", "two")):
        release = store.release(name, "7/edge")
        assert (release.path, release.revision) == (tmp_path / place, 1)
        assert release.channel == "7/edge"


@pytest.mark.parametrize(
    ("name", "channel", "revision", "problem"),
    [
        ("none", None, None, '"none" not found in the charm store .* has: db, one, two'),
        ("../db", None, None, "not found in the charm store"),
        ("empty", None, None, "not found in the charm store"),
        ("db", "16/stable", None, "nothing in channel 16/stable"),
        ("db", None, 7, "has no revision 7 .* has: 281, 300"),
    ],
)
def test_what_there_is_not(store, name, channel, revision, problem):
    with pytest.raises(NotFoundError, match=problem):
        store.release(name, channel, revision)


def test_a_resource_that_there_is_not(store):
    assert store.entry("db").resource("image", 150) == "example/db:1"
    for name, revision in (("image", 7), ("none", 1)):
        with pytest.raises(NotFoundError, match=f'revision {revision} of the resource "{name}"'):
            store.entry("db").resource(name, revision)


def test_no_folder(tmp_path):
    with pytest.raises(NotFoundError, match="is not a folder"):
        CharmStore(tmp_path / "none")


@pytest.mark.parametrize(
    ("index", "problem"),
    [
        ("", "channels: is missing"),
        ("[]", "expected a mapping"),
        ("bogus: 1", "bogus: unknown key"),
        ("{default-track: 14}", "default-track: expected a track, in quotes"),
        ("{channels: {a/b: 1}, revisions: {1: a.charm}}", "channels: risk in channel"),
        ("{channels: {edge: 1}}", "channels.edge: revision 1 is not under revisions"),
        ("{channels: {edge: x}}", "channels.edge: expected a revision"),
        ("{revisions: {x: a.charm}}", "revisions.x: expected a revision"),
        ("{revisions: {1: none}}", "revisions.1: .*none does not exist"),
        ("{revisions: {1: 5}}", "revisions.1: expected a path"),
        ("{resources: {r: {}}}", "resources.r: has no revision"),
        ("{resources: {r: {1: 5}}}", "resources.r.1: expected a path or an image"),
        (
            "{channels: {edge: {revision: 1, resources: {r: 2}}}, revisions: {1: a.charm}}",
            "channels.latest/edge.resources.r: revision 2 is not under resources",
        ),
    ],
)
def test_an_index_that_makes_no_sense(store, tmp_path, index, problem):
    (tmp_path / "db" / "index.yaml").write_text(index)
    with pytest.raises(StoreError, match=problem):
        store.release("db", "edge")


def test_process_images_stand_in_for_images_of_registries(store, tmp_path):
    assert store.image("example/db:1") == "example/db:1"
    (tmp_path / "images.yaml").write_text("example/db:1: ./db/image\nexample/x: ./none\ny: 1\n")
    place = str(tmp_path / "db" / "image")
    assert store.image("example/db:1") == place
    assert store.image("example/db:2") == "example/db:2"
    assert store.release("db", "edge").resources == {"image": (150, place)}
    for reference, problem in (("example/x", "none does not exist"), ("y", "expected a path")):
        with pytest.raises(StoreError, match=f"images.yaml: {reference}: .*{problem}"):
            store.image(reference)
    assert store.names() == ["db", "one", "two"]
