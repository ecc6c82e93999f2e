import zipfile

import pytest

from minijuju import constraints


@pytest.fixture
def here(charm, fake, monkeypatch):
    fake.answers["deploy"] = {"application": "demo", "charm": "local:demo-0"}
    fake.answers["refresh"] = {}
    monkeypatch.chdir(charm.parent)
    monkeypatch.setenv("JUJU_MODEL", "m")
    return charm.parent


def test_a_charm_with_everything(run, fake, here):
    (here / "licence.txt").write_text("x")
    (here / "settings.yaml").write_text("demo: {workers: 4}\n")
    (here / "level").write_text("debug")
    result = run(
        "deploy",
        "./demo",
        *("--config", "settings.yaml", "--config", "level=@level", "--config", "open=true"),
        "mine",
        *("--config", "ratio=2", "--resource", "image=example/x:1", "-n", "3", "--trust"),
        *("--resource", "licence=licence.txt", "--storage", "data=1G"),
        *("--constraints", "mem=1G", "--constraints", "cores=2"),
    )
    assert (result.code, result.out) == (1, "")
    assert 'unknown option "demo"' in result.err
    (here / "settings.yaml").write_text("mine: {workers: 4}\n")
    result = run(
        "deploy",
        "./demo",
        *("--config", "settings.yaml", "--config", "level=@level", "--config", "open=true"),
        "mine",
        *("--config", "ratio=2", "--resource", "image=example/x:1", "-n", "3", "--trust"),
        *("--resource", "licence=licence.txt", "--storage", "data=1G"),
        *("--constraints", "mem=1G", "--constraints", "cores=2"),
    )
    assert (result.code, result.out) == (0, "")
    assert fake.params("deploy") == {
        "model": "m",
        "application": "mine",
        "charm": str(here / "demo"),
        "config": {"workers": 4, "level": "debug", "open": True, "ratio": 2.0},
        "resources": {"image": "example/x:1", "licence": str(here / "licence.txt")},
        "num_units": 3,
        "trust": True,
        "storage": {"data": "1G"},
        "constraints": "cores=2 mem=1024M",
    }
    assert constraints.parse("cores=2 mem=1024M") == {"cores": 2, "mem": 1024}
    assert 'Located local charm "demo"' in result.err
    assert 'Deploying "mine" from local charm "demo" on ubuntu@24.04' in result.err


def test_progress_is_told_on_stderr(run, fake, here):
    fake.progress["deploy"] = ["building the image"]
    assert "building the image\n" in run("deploy", "./demo").err


def test_an_archive_by_absolute_path(run, fake, here):
    archive = here / "x.charm"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("metadata.yaml", "{name: packed, summary: s, description: d}")
        file.writestr("manifest.yaml", "bases: [{name: ubuntu, channel: '24.04'}]")
    assert run("deploy", str(archive), "--num-units", "0").code == 0
    assert fake.params("deploy")["application"] == "packed"
    assert fake.params("deploy")["num_units"] == 0


@pytest.mark.parametrize(
    ("argv", "code", "problem"),
    [
        (["demo"], 1, 'charm or bundle "demo" is ambiguous'),
        (["postgresql-k8s"], 1, "Charmhub"),
        (["./none"], 1, 'no charm or bundle was found at "./none"'),
        (["/dev/zero"], 1, '"/dev/zero" is neither a file nor a folder'),
        (["./a\0b"], 1, "no charm or bundle was found"),
        (["./empty"], 1, "no metadata.yaml and no charmcraft.yaml"),
        (["./demo", "Bad"], 1, 'invalid application name "Bad"'),
        (["./demo", "../x"], 1, 'invalid application name "../x"'),
        (["./demo", "x" * 3, "y"], 2, "unrecognized args: 'y'"),
        (["./demo", "-n", "-1"], 2, "expected a whole number"),
        (["./demo", "-n", "many"], 2, "expected a whole number"),
        (["./demo", "--config", "none=1"], 1, 'unknown option "none"'),
        (["./demo", "--config", "workers=x"], 1, 'option "workers" expected int, got "x"'),
        (["./demo", "--config", "none.yaml"], 1, "none.yaml: cannot be read"),
        (["./demo", "--resource", "image"], 1, 'expected "key=value"'),
        (["./demo", "--resource", "none=x"], 1, 'has no resource "none" (has: image, licence)'),
        (["./demo", "--resource", "image="], 1, "expected a path or an image"),
        (["./demo", "--resource", "image=./none"], 1, "./none does not exist"),
        (["./demo", "--resource", "licence=none"], 1, "none does not exist"),
        (["./demo", "--storage", "none=1G"], 1, 'no store called "none"'),
        (["./demo", "--storage", "logs=4"], 1, "at most 3 instances"),
        (["./demo", "--constraints", "mem=x"], 1, 'bad "mem" constraint'),
        (["./demo", "--base", "ubuntu@20.04"], 1, "supported bases are: ubuntu@24.04"),
        (["./demo", "--channel", "edge"], 1, "--channel is a charm store's"),
        (["./demo", "--revision", "4"], 1, "--revision is a charm store's"),
        (["./demo", "--map-machines", "existing"], 1, "deploying a charm: --map-machines"),
        (["./bundle.yaml", "--map-machines", "existing"], 1, "model has no machines"),
        (["./demo", "--overlay", "x"], 1, "not supported when deploying a charm: --overlay"),
        (["./demo", "--to", "0"], 1, "--to: there is one node"),
        (["./bundle.yaml", "name"], 2, "a bundle has no application name"),
        (["./bundle.yaml", "-n", "2"], 1, "not supported when deploying a bundle: -n"),
    ],
)
def test_refused_before_anything_is_asked_of_the_controller(run, fake, here, argv, code, problem):
    (here / "empty").mkdir()
    (here / "bundle.yaml").write_text("applications: {demo: {charm: ./demo}}")
    result = run("deploy", *argv)
    assert result.code == code
    assert problem in result.err
    assert fake.calls == []


def test_force_lets_the_base_pass(run, fake, here):
    assert run("deploy", "./demo", "--base", "ubuntu@20.04", "--force").code == 0


# Bundles.


@pytest.fixture
def bundled(run, fake, here, documents_of):
    """Deploys a bundle of two against a model with what `applications` holds."""
    (here / "other").mkdir()
    text = (here / "demo" / "charmcraft.yaml").read_text().replace("name: demo", "name: other")
    (here / "other" / "charmcraft.yaml").write_text(text)
    (here / "bundle.yaml").write_text(
        "bundle: kubernetes\n"
        "applications:\n"
        "  a: {charm: ./demo, trust: true, options: {level: debug}}\n"
        "  b: {charm: ./other, scale: 2}\n"
        "relations: [[a:up, b:web]]\n"
    )
    fake.answers["status"] = documents_of.status()
    for method in ("integrate", "config_set", "scale_application", "trust"):
        fake.answers[method] = None
    return here


def test_a_bundle(run, fake, bundled):
    result = run("deploy", "./bundle.yaml", "--trust")
    assert (result.code, result.out) == (0, "")
    assert fake.methods() == ["status", "deploy", "deploy", "integrate"]
    assert result.err.splitlines() == [
        'Located local charm "demo" for a',
        'Located local charm "other" for b',
        "Executing changes:",
        f"- deploy application a with 1 unit on ubuntu@24.04 using {bundled}/demo",
        f"- deploy application b with 2 units on ubuntu@24.04 using {bundled}/other",
        "- add relation a:up - b:web",
        "Deploy of bundle completed.",
    ]


def test_a_dry_run_changes_nothing(run, fake, bundled):
    result = run("deploy", "./bundle.yaml", "--trust", "--dry-run")
    assert "Changes to deploy bundle:\n- deploy application a" in result.err
    assert fake.methods() == ["status"]


def test_what_juju_does_not_know_is_told(run, fake, bundled):
    (bundled / "more.yaml").write_text("applications: {b: {bogus: 1}}")
    result = run("deploy", "./bundle.yaml", "--overlay", "more.yaml", "--trust", "--dry-run")
    assert result.code == 0
    assert "WARNING These fields will be ignored during deployment:\n" in result.err
    assert "more.yaml: applications.b.bogus: unknown key" in result.err


def test_trust_must_be_meant(run, fake, bundled):
    result = run("deploy", "./bundle.yaml")
    assert result.code == 1
    assert "repeat the deploy command with the --trust argument" in result.err
    assert result.err.endswith("  - a\n")
    assert fake.calls == []
    assert run("deploy", "./bundle.yaml", "--force").code == 0


def test_overlays(run, fake, bundled):
    (bundled / "one.yaml").write_text("applications: {b: {scale: 5}}")
    (bundled / "two.yaml").write_text("applications: {a: null}")
    argv = ["deploy", "./bundle.yaml", "--overlay", "one.yaml", "--overlay", "./two.yaml"]
    assert run(*argv).code == 0
    assert fake.methods() == ["status", "deploy"]
    assert fake.params("deploy")["num_units"] == 5


def test_a_second_time_there_is_nothing_to_do(run, fake, bundled, documents_of):
    make = documents_of
    related = {"interface": "http", "scope": "global"}
    fake.answers["status"] = make.status(
        a=make.application("a", relations={"up": [{"related-application": "b", **related}]}),
        b=make.application(
            "b", units=2, relations={"web": [{"related-application": "a", **related}]}
        ),
    )
    fake.answers["config_get"] = lambda params: {
        "settings": {"level": {"value": "debug"}},
        "application-config": {"trust": {"value": True, "type": "bool"}},
    }
    fake.answers["show_application"] = {}
    result = run("deploy", "./bundle.yaml", "--trust")
    assert result.code == 0
    assert result.err.endswith("No changes to apply.\n")
    assert set(fake.methods()) == {"status", "config_get", "show_application"}


def test_a_wrong_bundle_changes_nothing(run, fake, bundled):
    (bundled / "wrong.yaml").write_text("applications: {b: {options: {none: 1}}}")
    result = run("deploy", "./bundle.yaml", "--overlay", "wrong.yaml", "--trust")
    assert result.code == 1
    assert result.err.startswith("ERROR cannot deploy bundle: the provided bundle has the follow")
    assert 'configuration option "none" not found in charm "other"' in result.err
    assert fake.calls == []


# Refresh.


SHOWN = {"charm": "demo", "channel": "", "charm-rev": 0, "charm-source": "/x"}


def test_refresh(run, fake, here):
    argv = ["refresh", "mine", "--path", "./demo", "--resource", "image=x", "--trust"]
    argv += ["--config", "workers=2", "--storage", "data=2G"]
    assert run(*argv, "--force", "--force-base", "--force-units").code == 0
    assert fake.params("refresh") == {
        "model": "m",
        "application": "mine",
        "path": str(here / "demo"),
        "resources": {"image": "x"},
        "config": {"workers": 2},
        "storage": {"data": "2G"},
        "trust": True,
        "force": True,
    }


def test_refresh_of_resources_alone(run, fake, here):
    fake.answers["show_application"] = {"mine": SHOWN}
    assert run("refresh", "mine", "--resource", "image=./demo").code == 0
    assert fake.params("refresh")["resources"] == {"image": str(here / "demo")}
    assert "path" not in fake.params("refresh")


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["mine"], "name the new one with --path"),
        (["mine", "--channel", "edge"], "--channel is a charm store's"),
        (["mine", "--path", "./demo", "--channel", "edge"], "--channel is a charm store's"),
        (["mine", "--path", "./demo", "--switch", "x"], "mutually exclusive"),
        (["mine", "--switch", "demo"], "Charmhub"),
        (["mine", "--path", "./none"], "no charm or bundle was found"),
        (["mine", "--path", "./demo", "--config", "none=1"], 'unknown option "none"'),
    ],
)
def test_refresh_refuses(run, fake, here, argv, problem):
    fake.answers["show_application"] = {"mine": SHOWN}
    result = run("refresh", *argv)
    assert result.code == 1
    assert problem in result.err
    assert "refresh" not in fake.methods()


# The charm store.

INDEX = """
channels:
  stable: {revision: 3, resources: {image: 1}}
  edge: 4
revisions: {3: ../../demo, 4: ../../demo}
resources: {image: {1: example/x:1, 2: example/x:2}}
"""


@pytest.fixture
def store(here, monkeypatch):
    (here / "store" / "demo").mkdir(parents=True)
    (here / "store" / "demo" / "index.yaml").write_text(INDEX)
    (here / "licence.txt").touch()
    monkeypatch.setenv("MINIJUJU_CHARM_STORE", str(here / "store"))
    return here / "store"


@pytest.mark.parametrize("name", ["demo", "ch:demo"])
def test_a_charm_of_the_store(run, fake, here, store, name):
    result = run("deploy", name, "mine", "--channel", "edge", "--resource", "licence=licence.txt")
    assert (result.code, result.out) == (0, "")
    params = fake.params("deploy")
    assert (params["charm"], params["channel"], params["revision"]) == (
        str(here / "demo"),
        "latest/edge",
        4,
    )
    assert params["resources"] == {"image": "example/x:2", "licence": str(here / "licence.txt")}
    assert result.err == (
        'Deployed "mine" from charm-hub charm "demo", revision 4 in channel latest/edge on '
        "ubuntu@24.04\n"
    )


def test_a_resource_of_the_store_by_its_revision(run, fake, here, store):
    assert run("deploy", "demo").code == 0
    assert fake.params("deploy")["resources"] == {"image": "example/x:1"}
    assert run("deploy", "demo", "--resource", "image=2").code == 0
    assert fake.params("deploy")["resources"] == {"image": "example/x:2"}
    result = run("deploy", "demo", "--resource", "image=9")
    assert 'no revision 9 of the resource "image"' in result.err


def test_a_process_image_stands_in_wherever_an_image_is_named(run, fake, here, store, tmp_path):
    (store / "images.yaml").write_text("example/x:1: ../stand-in\n")
    (here / "stand-in").mkdir()
    wanted = {"image": str(here / "stand-in")}
    for target in ("./demo", "demo"):
        assert run("deploy", target, "--resource", "image=example/x:1").code == 0
        assert fake.params("deploy")["resources"] == wanted
    assert run("deploy", "demo").code == 0
    assert fake.params("deploy")["resources"] == wanted
    # A number is a revision of what is stored, and of that alone.
    assert run("deploy", "./demo", "--resource", "image=1").code == 0
    assert fake.params("deploy")["resources"] == {"image": "1"}
    fake.answers["refresh"] = {}
    for argv in (
        ["refresh", "mine", "--path", "./demo", "--resource"],
        ["attach-resource", "mine"],
    ):
        assert run(*argv, "image=example/x:1").code == 0
        assert fake.params("refresh")["resources"] == wanted
    assert run("attach-resource", "mine", "image=example/x:2").code == 0
    assert fake.params("refresh")["resources"] == {"image": "example/x:2"}


def test_the_store_is_named_by_option_environment_or_configuration(
    run, fake, here, store, data, monkeypatch
):
    monkeypatch.delenv("MINIJUJU_CHARM_STORE")
    assert '"demo" is ambiguous' in run("deploy", "demo").err
    assert "Charmhub" in run("deploy", "other").err
    assert run("deploy", "demo", "--charm-store", "store").code == 0
    fake.answers["ping"] = {}
    assert run("bootstrap", "--charm-store", "./store").code == 0
    assert run("deploy", "demo").code == 0
    assert "shutdown" not in fake.methods()
    result = run("bootstrap", "--charm-store", "./none")
    assert (result.code, "is not a folder" in result.err) == (1, True)


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["none"], 'charm or bundle "none" not found in the charm store'),
        (["demo", "--channel", "9/stable"], "nothing in channel 9/stable"),
        (["demo", "--channel", "a/b/c/d"], "expected [track/]risk[/branch]"),
        (["demo", "--revision", "3"], "requires a channel for future upgrades"),
        (["demo", "--revision", "7", "--channel", "edge"], "has no revision 7"),
        (["ch:a/b"], "as the name of a charm"),
    ],
)
def test_what_the_store_has_not(run, fake, here, store, argv, problem):
    result = run("deploy", *argv)
    assert (result.code, problem in result.err) == (1, True), result.err
    assert fake.calls == []


def test_refresh_from_the_store(run, fake, here, store):
    def shown(**values):
        fake.answers["show_application"] = {"mine": {**SHOWN, **values}}

    shown(channel="latest/stable", **{"charm-rev": 3})
    assert run("refresh", "mine").err == 'charm "demo": already up-to-date\n'
    assert "refresh" not in fake.methods()
    result = run("refresh", "mine", "--channel", "edge")
    assert result.err == (
        'Added charm-hub charm "demo", revision 4 in channel latest/edge, to the model\n'
    )
    assert fake.params("refresh") == {
        "model": "m",
        "application": "mine",
        "path": str(here / "demo"),
        "resources": {"image": "example/x:2"},
        "config": {},
        "channel": "latest/edge",
        "revision": 4,
    }
    # The same revision in another channel: only what is followed changes.
    shown(channel="latest/beta", **{"charm-rev": 3})
    assert run("refresh", "mine", "--channel", "stable").code == 0
    assert "path" not in fake.params("refresh")
    assert fake.params("refresh")["resources"] == {}
    # A local charm that the store has too.
    shown()
    assert run("refresh", "mine", "--switch", "demo").code == 0
    assert fake.params("refresh")["revision"] == 3
