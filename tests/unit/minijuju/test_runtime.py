"""How a unit's containers are laid out; nothing is started here."""

from dataclasses import replace
from pathlib import Path

import pytest

from minijuju import runtime
from minijuju.charm import Charm, ContainerMeta, StorageMeta
from sandbox.spec import Image, Mount

ONE = StorageMeta("data", "filesystem")
PLACED = StorageMeta("data", "filesystem", location="/srv/data")
MANY = StorageMeta("data", "filesystem", location="/srv/data", maximum=None)


@pytest.fixture
def spec(tmp_path):
    return runtime.UnitSpec(
        model="m",
        model_uuid="u",
        application="app",
        unit="app/10",
        charm_path=tmp_path / "charm",
        charm=Charm(
            name="app",
            containers={
                "web": ContainerMeta("web", mounts=(("data", "/data"), ("many", "/many"))),
                "bare": ContainerMeta("bare"),
            },
            storage={
                "data": replace(ONE, read_only=True),
                "many": replace(MANY, name="many"),
            },
        ),
        images={"web": Image("process.local/web@sha256:" + "0" * 64, tmp_path / "image")},
        storages=(
            runtime.StorageMount("data/0", "data", tmp_path / "d0"),
            runtime.StorageMount("many/3", "many", tmp_path / "m3"),
            runtime.StorageMount("many/4", "many", tmp_path / "m4"),
        ),
        trusted=False,
        address="127.20.0.1",
        service_address="127.20.128.1",
        hosts={"127.20.0.1": ("app-10.app-endpoints", "app-10"), "127.20.0.9": ("other",)},
    )


@pytest.fixture
def make(tmp_path):
    def made(spec):
        return runtime.UnitRuntime(
            tmp_path / "unit", spec, binary=Path("/pebble"), commands=Path("/commands")
        )

    return made


@pytest.mark.parametrize(
    ("meta", "location"),
    [(ONE, "/var/lib/juju/storage/data/3"), (PLACED, "/srv/data"), (MANY, "/srv/data/3")],
)
def test_where_a_storage_is_for_the_charm(meta, location):
    assert runtime.storage_location(meta, "data/3") == location


def test_names_of_a_unit(spec):
    assert (spec.tag, spec.pod) == ("unit-app-10", "app-10")
    assert runtime.charm_folder(spec.unit) == "/var/lib/juju/agents/unit-app-10/charm"


def workload(pod, name):
    return pod._workload_spec(name, pod.folder / "containers" / name)


def test_a_workload_container(spec, make, tmp_path):
    made = workload(make(spec), "web")
    assert made.command[:2] == ("/charm/bin/pebble", "run")
    assert "--hold" in made.command
    assert made.image is spec.images["web"]
    assert made.hostname == "app-10"
    assert made.env["PEBBLE_SOCKET"] == "/charm/container/pebble.socket"
    assert made.mounts == (
        Mount(Path("/pebble"), "/charm/bin/pebble", read_only=True),
        Mount(tmp_path / "unit/containers/web/charm", "/charm/container"),
        Mount(tmp_path / "d0", "/data", read_only=True),
        Mount(tmp_path / "m3", "/many/3"),
        Mount(tmp_path / "m4", "/many/4"),
    )


def test_a_container_without_an_image_or_mounts(spec, make):
    made = workload(make(spec), "bare")
    assert made.image is None
    assert [mount.target for mount in made.mounts] == ["/charm/bin/pebble", "/charm/container"]
    assert "KUBERNETES_SERVICE_HOST" not in made.env
    assert "PEBBLE_COPY_ONCE" not in made.env


def test_the_way_to_kubernetes(spec, make, tmp_path):
    access = runtime.ClusterAccess("127.0.0.1", 16443, tmp_path / "identity")
    pod = make(replace(spec, cluster=access))
    for made in (workload(pod, "bare"), pod._charm_spec(("true",), {}, None)):
        assert made.env["KUBERNETES_SERVICE_HOST"] == "127.0.0.1"
        assert made.env["KUBERNETES_SERVICE_PORT"] == "16443"
    assert workload(pod, "bare").mounts[-1] == Mount(
        tmp_path / "identity", "/var/run/secrets/kubernetes.io/serviceaccount", read_only=True
    )


def test_the_layers_of_an_image(spec, make, tmp_path):
    (tmp_path / "image/share/pebble/layers").mkdir(parents=True)
    made = workload(make(spec), "web")
    assert made.env["PEBBLE_COPY_ONCE"] == "/var/lib/pebble/default"
    assert made.mounts[2].target == "/var/lib/pebble/default/layers"
    assert made.mounts[2].read_only


def test_users_of_an_image_are_names_of_the_one_there_is(spec, make, tmp_path):
    etc = tmp_path / "image/share/rootfs/etc"
    etc.mkdir(parents=True)
    (etc / "passwd").write_text(
        "root:x:0:0::/root:/bin/bash\nredis:x:999:999::/:/bin/sh\nredis:x:998:998::/:/bin/sh\n"
        "nobody:x:65534:65534::/:/bin/false\n_daemon_:x:584792:584792::/:/bin/false\n"
        "# a comment\n\nno name:x:1:1::/:/bin/sh\n"
    )
    pod = make(spec)
    assert workload(pod, "web").accounts == ("_daemon_", "redis")
    assert workload(pod, "bare").accounts == ("_daemon_",)


def test_a_unit_comes_first_among_its_own_names(spec, make):
    made = workload(make(spec), "web")
    assert made.hosts == {
        "127.20.0.1": ("app-10", "app-10.app-endpoints"),
        "127.20.0.9": ("other",),
    }


def test_a_unit_that_nobody_has_named_yet_has_its_own_name(spec, make):
    assert workload(make(replace(spec, hosts={})), "web").hosts == {"127.20.0.1": ("app-10",)}


def test_the_charms_environment_cannot_move_path_or_kubernetes(spec, make, tmp_path):
    access = runtime.ClusterAccess("10.0.0.1", 443, tmp_path / "identity")
    made = make(replace(spec, cluster=access))._charm_spec(
        ("./dispatch",),
        {"PATH": "/evil", "KUBERNETES_SERVICE_HOST": "evil", "JUJU_X": "1"},
        tmp_path / "hooks",
    )
    assert made.env["PATH"].split(":")[:2] == [
        "/var/lib/juju/tools/unit-app-10",
        "/var/lib/juju/python",
    ]
    assert made.env["KUBERNETES_SERVICE_HOST"] == "10.0.0.1"
    assert made.env["JUJU_X"] == "1"
    assert made.mounts[-2:] == (
        Mount(tmp_path / "hooks", "/var/lib/juju/hooks", read_only=True),
        Mount(Path("/commands"), "/var/lib/juju/tools/unit-app-10", read_only=True),
    )


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 1},
        {"address": "127.20.0.2"},
        {"charm_path": Path("/other")},
        {"images": {}},
        {"storages": ()},
    ],
)
def test_what_makes_another_pod(spec, make, change):
    assert make(replace(spec, **change))._identity() != make(spec)._identity()


@pytest.mark.parametrize("change", [{"hosts": {}}, {"trusted": True}, {"service_address": "x"}])
def test_what_does_not(spec, make, change):
    assert make(replace(spec, **change))._identity() == make(spec)._identity()


def test_a_pod_that_was_never_started_does_not_run(spec, make):
    assert not make(spec).running()


@pytest.fixture
def made(spec, make, tmp_path):
    """A runtime with the folders that its start makes."""
    for name in ("charm-container", "charm-root"):
        (tmp_path / "unit" / name).mkdir(parents=True)
    (tmp_path / "pebble").touch()
    runtime = make(spec)
    runtime._binary = tmp_path / "pebble"
    return runtime


def test_a_shell_in_a_workload_container(made):
    argv, env = made.ssh_argv("web", [])
    assert argv[-4:-1] == ["/charm/bin/pebble", "exec", "--"]
    assert argv[-1] in ("/bin/bash", "/bin/sh")
    assert env["PEBBLE_SOCKET"] == "/charm/containers/web/pebble.socket"


def test_a_command_in_a_workload_container_is_passed_word_by_word(made):
    argv, _ = made.ssh_argv("web", ["echo", "a b", "; rm"])
    assert argv[-3:] == ["echo", "a b", "; rm"]


def test_a_container_that_the_charm_has_not(spec, make):
    with pytest.raises(KeyError, match="none"):
        make(spec).ssh_argv("none", [])
