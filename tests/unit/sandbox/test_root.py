from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox import root, skeleton
from sandbox.errors import SandboxError
from sandbox.spec import Image, Limits, Mount, Network, Scratch, Spec


def binds(steps: tuple[root.Step, ...]) -> dict[str, root.Bind]:
    return {step.target: step for step in steps if isinstance(step, root.Bind)}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    place = tmp_path / "container"
    place.mkdir()
    return place


@pytest.fixture(autouse=True, params=[False, True], ids=["copied", "layered"])
def layered(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> bool:
    """Whether fresh roots lie over a shared one: what they show is the same."""
    layered = bool(request.param)
    monkeypatch.setattr(skeleton, "overlays", lambda directory: layered)
    monkeypatch.setenv("SANDBOX_STORE", str(tmp_path / "store"))
    return layered


def shown(steps: tuple[root.Step, ...], path: str) -> Path:
    """Where the host has what a container finds at a path of its root."""
    first = steps[0]
    if isinstance(first, root.Bind):
        return first.source / path
    assert isinstance(first, root.Overlay)
    root.furnish(steps)
    upper = first.upper / path
    return upper if upper.exists() else first.lower / path


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("/data", "/data"),
        ("//data//x/", "/data/x"),
        ("/a/../b", "/b"),
        ("/var/run/secrets", "/run/secrets"),
        ("/var/running", "/var/running"),
        ("/dev/shm", "/dev/shm"),
    ],
)
def test_place(target: str, place: str) -> None:
    assert root.place(target) == place


@pytest.mark.parametrize("target", ["", "data", "/", "/..", "/proc/1", "/sys", "/a\0b"])
def test_places_that_cannot_be(target: str) -> None:
    with pytest.raises(SandboxError, match="mount"):
        root.place(target)


def test_the_environment_is_layered() -> None:
    image = Image("r", Path("/x"), env={"PATH": "/opt/venv/bin", "A": "image"})

    env = root.environment(Spec(("true",), env={"A": "spec"}, image=image, cwd="/data"))

    assert env == {"PATH": "/opt/venv/bin", "HOME": "/root", "A": "spec", "PWD": "/data"}


@pytest.mark.parametrize("env", [{"A=B": "x"}, {"": "x"}, {"A": "x\0y"}])
def test_an_impossible_variable_is_refused(env: dict[str, str]) -> None:
    with pytest.raises(SandboxError, match="environment variable"):
        root.environment(Spec(("true",), env=env))


def test_a_fresh_root_lies_below_the_container(directory: Path, *, layered: bool) -> None:
    steps = root.prepare(Spec(("true",), hostname="unit-0"), directory)

    first = steps[0]
    if layered:
        assert isinstance(first, root.Overlay)
        assert first.upper == directory / "root"
        assert first.work.stat().st_dev == directory.stat().st_dev
        assert list(first.upper.iterdir()) == []
    else:
        assert first == root.Bind(directory / "root", "/")
    assert binds(steps)["/usr"].read_only
    assert shown(steps, "tmp").stat().st_mode & 0o7777 == 0o1777
    assert shown(steps, "root").stat().st_mode & 0o7777 == 0o700
    assert shown(steps, "var/run").readlink() == Path("../run")
    hostname, hosts = (
        binds(steps).get(f"/etc/{name}", root.Bind(shown(steps, f"etc/{name}"), "")).source
        for name in ("hostname", "hosts")
    )
    assert hostname.read_text() == "unit-0\n"
    assert "127.0.1.1 unit-0" in hosts.read_text()
    assert shown(steps, "etc/passwd").read_text().startswith("root:x:0:0:")
    for step in steps[1:]:
        assert shown(steps, step.target[1:]).exists(), step


def test_the_shared_part_is_made_once(directory: Path, tmp_path: Path, *, layered: bool) -> None:
    if not layered:
        pytest.skip("there is none")
    other = tmp_path / "other"
    other.mkdir()
    first, second = (root.prepare(Spec(("true",)), place)[0] for place in (directory, other))
    third = root.prepare(Spec(("true",), user=7), directory)[0]
    assert isinstance(first, root.Overlay)
    assert isinstance(second, root.Overlay)
    assert isinstance(third, root.Overlay)
    assert first.lower == second.lower != third.lower
    assert {each.name for each in first.lower.parent.iterdir()} == {
        first.lower.name,
        third.lower.name,
    }


def test_a_folder_on_the_way_to_a_target_keeps_its_rights(directory: Path, tmp_path: Path) -> None:
    steps = root.prepare(Spec(("true",), mounts=(Mount(tmp_path, "/root/a/b"),)), directory)
    assert shown(steps, "root").stat().st_mode & 0o7777 == 0o700
    assert shown(steps, "root/a/b").is_dir()


def test_no_more_is_made_on_the_disk_than_what_is_written_to(
    directory: Path, tmp_path: Path, *, layered: bool
) -> None:
    if not layered:
        pytest.skip("a copy is all on the disk")
    mounts = (Mount(tmp_path, "/a/b/c"), Mount(tmp_path, "/root/d"), Mount(tmp_path, "/opt"))
    first, *_ = root.prepare(Spec(("true",), mounts=mounts, cwd="/a/b/work"), directory)
    assert isinstance(first, root.Overlay)
    assert {str(each.relative_to(directory)) for each in directory.rglob("*")} == {
        "hosts",
        "root",
        "work",
    }
    made = {place.path: place.mode for place in first.places if place.content is None}
    assert made == {
        **dict.fromkeys(("etc", "a", "a/b", "a/b/c", "a/b/work", "root/d"), 0o755),
        "root": 0o700,
    }
    seen: set[str] = set()
    for place in first.places:
        assert {str(each) for each in Path(place.path).parents} - {"."} <= seen
        seen.add(place.path)


def test_names_are_those_of_the_host_to_the_byte(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b"# na\xefve\nnameserver 127.0.0.1\n"
    read = skeleton.read
    monkeypatch.setattr(
        skeleton, "read", lambda path: text if path.name == "resolv.conf" else read(path)
    )
    steps = root.prepare(Spec(("true",)), directory)
    file = binds(steps).get("/etc/resolv.conf", root.Bind(shown(steps, "etc/resolv.conf"), ""))
    assert file.source.read_bytes() == text


def test_a_path_that_an_option_cannot_have_is_not_layered(tmp_path: Path) -> None:
    directory = tmp_path / "a,b"
    directory.mkdir()
    assert isinstance(root.prepare(Spec(("true",)), directory)[0], root.Bind)


def test_a_root_that_persists_keeps_what_was_written(tmp_path: Path, directory: Path) -> None:
    kept = tmp_path / "kept"
    spec = Spec(("true",), root=kept)
    root.prepare(spec, directory)
    (kept / "etc/nsswitch.conf").unlink(missing_ok=True)
    (kept / "etc/nsswitch.conf").write_text("mine")

    steps = root.prepare(spec, directory)

    assert steps[0] == root.Bind(kept, "/")
    assert (kept / "etc/nsswitch.conf").read_text() == "mine"
    assert "/etc/ssl" not in binds(steps)
    # Hundreds of links, each of which would take its time.
    assert not list((kept / "etc/alternatives").iterdir())


def test_a_container_cannot_lead_its_next_start_out_of_its_root(
    tmp_path: Path, directory: Path
) -> None:
    kept, outside = tmp_path / "kept", tmp_path / "outside"
    outside.mkdir()
    spec = Spec(("true",), root=kept, mounts=(Mount(outside, "/srv/data/deep"),))
    root.prepare(Spec(("true",), root=kept), directory)
    (kept / "srv").rmdir()
    (kept / "srv").symlink_to(outside)

    with pytest.raises(SandboxError, match="srv"):
        root.prepare(spec, directory)

    assert list(outside.iterdir()) == []


def test_targets_are_made_in_the_mount_that_holds_them(tmp_path: Path, directory: Path) -> None:
    volume, inner, file = tmp_path / "volume", tmp_path / "inner", tmp_path / "file"
    volume.mkdir()
    inner.mkdir()
    file.touch()
    mounts = (Mount(volume, "/data"), Mount(inner, "/data/a/b"), Mount(file, "/etc/app/conf"))

    steps = root.prepare(Spec(("true",), mounts=mounts), directory)

    assert (volume / "a/b").is_dir()
    assert shown(steps, "data").is_dir()
    assert shown(steps, "etc/app/conf").is_file()


def test_no_target_in_a_read_only_mount(tmp_path: Path, directory: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    mounts = (Mount(volume, "/data", read_only=True), Mount(volume, "/data/a"))

    with pytest.raises(SandboxError, match="/data is read-only"):
        root.prepare(Spec(("true",), mounts=mounts), directory)


def test_a_missing_source_is_named(tmp_path: Path, directory: Path) -> None:
    with pytest.raises(SandboxError, match=r"nothing, to be mounted at /data, does not exist"):
        root.prepare(Spec(("true",), mounts=(Mount(tmp_path / "nothing", "/data"),)), directory)


def test_shared_memory_is_bound_by_the_memory_limit(directory: Path) -> None:
    steps = root.prepare(Spec(("true",), limits=Limits(memory=1 << 20)), directory)

    assert root.Dev(shared_memory=1 << 20) in steps


def test_hosts_are_rewritten_in_place(directory: Path) -> None:
    steps = root.prepare(Spec(("true",), hosts={"127.1.0.1": ("a", "a.model.svc")}), directory)
    hosts = binds(steps)["/etc/hosts"].source
    before = hosts.stat().st_ino
    assert "127.1.0.1 a a.model.svc\n" in hosts.read_text()

    root.rewrite_hosts(directory, {"127.1.0.2": ("b",)}, "localhost")

    assert hosts.stat().st_ino == before
    assert "127.1.0.2 b\n" in hosts.read_text()
    assert "127.1.0.1" not in hosts.read_text()


def test_scratch_and_a_sealed_root(directory: Path, *, layered: bool) -> None:
    spec = Spec(
        ("true",), mounts=(Scratch("/dev/shm", 4096), Scratch("/cache")), read_only_root=True
    )

    steps = root.prepare(spec, directory)

    assert steps[-3:] == (root.Memory("/dev/shm", 4096), root.Memory("/cache"), root.Seal())
    # Of a layered root it is a part, which is sealed with it.
    assert layered or binds(steps)["/tmp"].read_only
    assert shown(steps, "cache").is_dir()


def test_a_user_has_a_name(directory: Path) -> None:
    steps = root.prepare(Spec(("true",), user=4321, group=1), directory)

    assert "user4321:x:4321:1::/root:/bin/sh\n" in shown(steps, "etc/passwd").read_text()
    assert "group1:" not in shown(steps, "etc/group").read_text()


def test_a_user_has_further_names(directory: Path) -> None:
    spec = Spec(("true",), user=4321, group=1, accounts=("_daemon_",))
    steps = root.prepare(spec, directory)

    users = shown(steps, "etc/passwd").read_text().splitlines()
    assert users[-1] == "_daemon_:x:4321:1::/:/usr/sbin/nologin"
    # Who asks for the user's name by number gets the first one.
    assert users.index("user4321:x:4321:1::/root:/bin/sh") < len(users) - 1
    assert shown(steps, "etc/group").read_text().endswith("_daemon_:x:1:\n")


def test_a_network_with_a_name_server_of_its_own_replaces_the_hosts(
    directory: Path, tmp_path: Path
) -> None:
    spec = Spec(["true"], root=tmp_path / "kept", network=Network(tmp_path, "one"))
    resolv = directory / "etc" / "resolv.conf"
    root.prepare(spec, directory)
    host = resolv.read_bytes()
    (tmp_path / "applied.json").write_text(json.dumps({"resolver": "169.254.1.53"}))
    root.renew(spec, directory)
    own, *rest = resolv.read_bytes().splitlines()
    assert own == b"nameserver 169.254.1.53"
    kept = [line for line in host.splitlines() if not line.startswith(b"nameserver")]
    assert rest == kept
