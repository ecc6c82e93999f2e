import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minijuju import bundle, bundle_parts, documents

PROVIDER = """
name: db
base: ubuntu@24.04
platforms: {amd64: }
resources: {image: {type: oci-image}, file: {type: file, filename: f}}
storage: {data: {type: filesystem}, many: {type: filesystem, multiple: {range: 1-2}}}
provides: {db: {interface: pgsql}, other: {interface: pgsql-admin}}
peers: {ring: {interface: ring}}
config:
  options:
    size: {type: int, default: 1}
    text: {type: string, default: a}
"""
REQUIRER = """
name: app
base: ubuntu@24.04
platforms: {amd64: }
requires: {db: {interface: pgsql}, admin: {interface: pgsql-admin}}
provides: {web: {interface: http}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("db", PROVIDER), ("app", REQUIRER)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "charmcraft.yaml").write_text(text)
    return tmp_path


def write(folder: Path, text: str, name: str = "bundle.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


GOOD = """
bundle: kubernetes
applications:
  db:
    charm: ./db
    scale: 2
    constraints: mem=1G
    resources: {image: example/db:1, file: ./licence}
    storage: {data: 10G, many: "kubernetes,1G,2"}
    options: {size: 3, text: include-file://text}
  app: {charm: ./app, num_units: 1, trust: true}
relations:
  - [app:db, db:db]
  - [app:admin, db]
"""


def test_a_whole_bundle(folder):
    (folder / "licence").write_text("x")
    (folder / "text").write_text("from a file")
    found = bundle.load(write(folder, GOOD))
    db = found.applications["db"]
    assert db.path == folder / "db"
    assert (db.scale, db.constraints) == (2, "mem=1024M")
    assert db.options == {"size": 3, "text": "from a file"}
    assert db.resources == {"image": "example/db:1", "file": str(folder / "licence")}
    assert db.storage == {"data": "10G", "many": "kubernetes,1G,2"}
    assert found.untrusting == ("app",)
    assert [[str(side) for side in relation] for relation in found.relations] == [
        ["db:db", "app:db"],
        ["db:other", "app:admin"],
    ]
    assert bundle.load(folder) == found


def test_overlays_apply_in_order_and_resolve_their_own_paths(folder):
    text = "applications: {db: {charm: ./db, options: {size: 1, text: x}, scale: 1}}"
    base = write(folder, text)
    (folder / "sub" / "image").mkdir(parents=True)
    one = write(
        folder,
        "applications: {db: {resources: {image: ./image}, options: {size: 2}, num_units: 4}}",
        "sub/one.yaml",
    )
    two = write(folder, "applications: {app: {charm: ../app}}", "sub/two.yaml")
    found = bundle.load(base, [one, two])
    db = found.applications["db"]
    assert db.options == {"size": 2, "text": "x"}
    assert db.scale == 4
    assert db.resources == {"image": str(folder / "sub" / "image")}
    assert found.applications["app"].path == folder / "app"


def test_later_documents_of_a_file_are_overlays(folder):
    (folder / "licence").write_text("x")
    (folder / "text").write_text("y")
    text = f"{GOOD}\n---\napplications:\n  app: null\n---\nrelations: []\n"
    found = bundle.load(write(folder, text))
    assert list(found.applications) == ["db"]
    assert found.relations == ()


def test_an_overlay_takes_an_option_away_with_null(folder):
    base = write(folder, "applications: {db: {charm: ./db, options: {size: 2, text: x}}}")
    over = write(folder, "applications: {db: {options: {text: null}}}", "over.yaml")
    assert bundle.load(base, [over]).applications["db"].options == {"size": 2}


def test_include_base64(folder):
    (folder / "blob").write_bytes(b"\xff\x00")
    text = "applications: {db: {charm: ./db, options: {text: 'include-base64://blob'}}}"
    found = bundle.load(write(folder, text))
    assert found.applications["db"].options["text"] == base64.b64encode(b"\xff\x00").decode()


def test_anchors_under_variables(folder):
    text = "variables: {o: &o {size: 5}}\napplications: {db: {charm: ./db, options: *o}}"
    assert bundle.load(write(folder, text)).applications["db"].options == {"size": 5}


DB = "db: {charm: ./db}"
APP = "app: {charm: ./app}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the bundle is empty"),
        ("[]", "expected a mapping, got []"),
        ("applications: {}", "at least one application must be specified"),
        ("applications: {db: [", "not valid YAML"),
        (f"bundle: machine\napplications: {{{DB}}}", 'bundle has an invalid type "machine"'),
        (f"machines: {{0: {{}}}}\napplications: {{{DB}}}", "machines not valid for Kubernetes"),
        (f"saas: {{x: {{}}}}\napplications: {{{DB}}}", "saas.x: no offer URL for SAAS x"),
        (
            f"saas: {{x: {{url: m.a}}, y: {{url: m.b}}}}\napplications: {{{DB}}}\n"
            "relations: [[x, y]]",
            "between two saas applications",
        ),
        (
            f"applications: {{{DB}}}\n---\n"
            "applications: {db: {offers: {o: {endpoints: [db], acl: {eve: consume}}}}}",
            'user "eve" not found',
        ),
        ("applications: {db: null}", 'base application "db" has no body'),
        ("applications: {db: {}}", "applications.db.charm: empty charm path"),
        ("applications: {db: {charm: 5}}", "applications.db.charm: expected a path or a name"),
        ("applications: {db: {charm: postgresql-k8s}}", "Charmhub"),
        ("applications: {db: {charm: ./none}}", 'charm path in application "db" does not exist'),
        ("applications: {db: {charm: .}}", "no metadata.yaml and no charmcraft.yaml"),
        ("applications: {Db: {charm: ./db}}", 'invalid application name "Db"'),
        ("applications: {../x: {charm: ./db}}", "invalid application name"),
        ("applications: {db: {charm: ./db, scale: 1, num_units: 1}}", "both scale and num_units"),
        ("applications: {db: {charm: ./db, scale: -1}}", "negative number of units"),
        ("applications: {db: {charm: ./db, scale: x}}", "scale: expected a whole number"),
        ("applications: {db: {charm: ./db, scale: true}}", "scale: expected a whole number"),
        ("applications: {db: {charm: ./db, to: [a], placement: b}}", "both placement and to"),
        ("applications: {db: {charm: ./db, placement: a=b}}", "there is one node"),
        ("applications: {db: {charm: ./db, expose: 1}}", "expose: expected true or false"),
        ("applications: {db: {charm: ./db, offers: {o: {}}}}", "only appear in an overlay"),
        (
            "applications: {db: {charm: ./db, devices: {gpu: 1}}}",
            "devices: this machine",
        ),
        ("applications: {db: {charm: ./db, bindings: {db: dmz}}}", 'space "dmz" not found'),
        ("applications: {db: {charm: db, revision: 4}}", "requires a channel"),
        ("applications: {db: {charm: db, revision: x, channel: a}}", "expected a whole number"),
        ("applications: {db: {charm: db, channel: 5}}", "expected a channel"),
        ("applications: {db: {charm: ./db, annotations: {a: [b]}}}", "annotations.a: expected"),
        ("applications: {db: {charm: ./db, base: ubuntu@20.04}}", "supported bases are: ubuntu"),
        ("applications: {db: {charm: ./db, base: 5}}", 'declares an invalid base "5"'),
        ("applications: {db: {charm: ./db, trust: 1}}", "trust: expected true or false"),
        ("applications: {db: {charm: ./db, constraints: mem=x}}", 'invalid constraints "mem=x"'),
        (
            "applications: {db: {charm: ./db, storage: {data: 1G x}}}",
            'invalid storage "data" in application "db": storage dir',
        ),
        ("applications: {db: {charm: ./db, storage: {none: 1G}}}", 'no store called "none"'),
        ("applications: {db: {charm: ./db, storage: {data: 2}}}", "at most 1 instances"),
        ("applications: {db: {charm: ./db, resources: {none: x}}}", 'no resource "none"'),
        (
            "applications: {db: {charm: ./db, resources: {image: 5}}}",
            "a revision means a charm store's resource",
        ),
        ("applications: {db: {charm: ./db, resources: {image: ./no}}}", "does not exist"),
        ("applications: {db: {charm: ./db, resources: {file: f}}}", "expected a path that starts"),
        (
            "applications: {db: {charm: ./db, options: {none: 1}}}",
            'option "none" not found in charm "db"',
        ),
        ("applications: {db: {charm: ./db, options: {size: x}}}", 'expected int, got "x"'),
        ("applications: {db: {charm: ./db, options: [a]}}", "options: expected a mapping"),
        ("applications: {db: {charm: ./db, options: {text: 'include-file://no'}}}", "cannot be"),
        (f"applications: {{{DB}, {APP}}}\nrelations: [[app:db]]", "has 1 endpoint(s), not 2"),
        (f"applications: {{{DB}, {APP}}}\nrelations: [[a, b, c]]", "has 3 endpoint(s), not 2"),
        (f"applications: {{{DB}, {APP}}}\nrelations: [app db]", "expected a list of two"),
        (f"applications: {{{DB}, {APP}}}\nrelations: {{a: b}}", "relations: expected a list"),
        (
            f"applications: {{{DB}, {APP}}}\nrelations: [[app, [db]]]",
            "expected a list of two endpoints",
        ),
        (f"applications: {{{DB}, {APP}}}\nrelations: [[app, x]]", 'refers to application "x"'),
        (f"applications: {{{DB}}}\nrelations: [[db:db, db:other]]", "an application to itself"),
        (f"applications: {{{DB}, {APP}}}\nrelations: [[app, db]]", "ambiguous relation"),
        (f"applications: {{{DB}, {APP}}}\nrelations: [[app:web, db]]", "no relations found"),
        (f"applications: {{{DB}, {APP}}}\nrelations: [[app:no, db]]", "no relations found"),
        (
            f"applications: {{{DB}, {APP}}}\nrelations: [[app:db, db:other]]",
            'mismatched interface between "db:other" and "app:db"',
        ),
        (
            f"applications: {{{DB}, {APP}}}\nrelations: [[app:web, db:db]]",
            'relation "app:web" to "db:db" relates provider to provider',
        ),
        (
            f"applications: {{{DB}, {APP}}}\nrelations: [[app:db, db:ring]]",
            'does not define relation "ring"',
        ),
        (
            f"applications: {{{DB}, {APP}}}\nrelations: [[app:db, db:db], [db:db, app:db]]",
            "is defined more than once",
        ),
        (f"applications: {{{DB}, {APP}}}\napplications: {{}}", "appears twice"),
    ],
)
def test_bad_bundles(folder, text, problem):
    with pytest.raises(bundle.BundleError) as caught:
        bundle.load(write(folder, text))
    assert problem in str(caught.value)


def test_all_problems_are_told_at_once(folder):
    text = "applications: {db: {charm: ./db, options: {none: 1, size: x}}, app: {charm: ./none}}"
    with pytest.raises(bundle.BundleError) as caught:
        bundle.load(write(folder, text))
    assert len(caught.value.problems) == 3


def test_what_juju_does_not_know_is_left_out_and_told(folder):
    path = write(folder, "bogus: 1\napplications: {db: {charm: ./db, bogus: 1}}")
    loaded = bundle.load(path)
    assert list(loaded.applications) == ["db"]
    assert loaded.ignored == (
        f"{path}: bogus: unknown key",
        f"{path}: applications.db.bogus: unknown key",
    )


def test_an_overlay_cannot_change_what_juju_leaves_alone(folder):
    path = write(folder, f"default-base: ubuntu@24.04\napplications: {{{DB}}}")
    over = write(folder, "{default-base: nothing, bundle: nothing, description: x}", "o.yaml")
    assert bundle.load(path, [over]).applications["db"].base == "ubuntu@24.04"


def test_the_system_by_an_old_name(folder):
    loaded = bundle.load(write(folder, f"series: noble\napplications: {{{DB}}}"))
    assert loaded.applications["db"].base == "ubuntu@24.04"


def test_an_applications_own_setting_stands_among_the_options(folder):
    text = "applications: {db: {charm: ./db, options: {juju-external-hostname: x.example}}}"
    loaded = bundle.load(write(folder, text))
    assert loaded.applications["db"].options == {"juju-external-hostname": "x.example"}


def test_a_missing_overlay(folder):
    path = write(folder, f"applications: {{{DB}}}")
    with pytest.raises(bundle.BundleError, match=r"none\.yaml: cannot be read"):
        bundle.load(path, [folder / "none.yaml"])


def test_what_is_a_bundle(folder):
    write(folder, "a: b", "x/bundle.yaml")
    assert bundle.is_bundle(folder / "x")
    assert bundle.is_bundle(folder / "x" / "bundle.yaml")
    assert not bundle.is_bundle(folder / "db")
    assert not bundle.is_bundle(folder / "x.charm")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)
TOP = st.sampled_from(["relations", "machines", "saas", "bundle"])
KEYS = st.sampled_from(sorted(bundle_parts._APPLICATION))


@given(
    st.dictionaries(KEYS, JSON, max_size=4),
    st.dictionaries(TOP, JSON, max_size=2),
)
def test_no_document_breaks_the_checker(tmp_path_factory, body, top):
    path = tmp_path_factory.mktemp("bundle") / "bundle.yaml"
    path.write_text(documents.dump({"applications": {"x": {"charm": "./none", **body}}, **top}))
    with pytest.raises(bundle.BundleError):
        bundle.load(path)
