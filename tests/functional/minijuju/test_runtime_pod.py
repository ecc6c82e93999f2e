"""A unit's processes, with a real Pebble and real containers."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from minijuju import archive, execution, runtime
from minijuju.charm import Charm
from minijuju.hooks import tools
from sandbox.limits import LimitKeeper
from sandbox.process import Identity
from sandbox.spec import Image

from ..waiting import pause

# One loop for all of them: a pod that several tests look at lives in it.
pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE = 90
METADATA = """\
name: probe
summary: s
description: d
containers:
  web:
    resource: web-image
    mounts:
      - {storage: data, location: /data}
      - {storage: many, location: /many}
  bare: {}
resources:
  web-image: {type: oci-image}
storage:
  data: {type: filesystem, location: /srv/data}
  many: {type: filesystem, multiple: {range: 0-}}
"""
DISPATCH = """\
#!/bin/sh
case $JUJU_DISPATCH_PATH in
hooks/say) echo to stdout; echo to stderr >&2 ;;
hooks/look)
    env; pwd; cat /etc/hosts; hostname; command -v python3; command -v is-leader
    ls -d /charm/containers/*
    ;;
hooks/fail) exit 7 ;;
hooks/kill) kill -9 $$ ;;
hooks/hang) echo hanging; exec sleep 60071 ;;
hooks/leave) (setsid sleep 601 &) ; exit 0 ;;
hooks/flood) yes $(printf '%01000d' 0) | head -c 5000000 ;;
hooks/line) head -c 1000000 /dev/zero | tr '\\0' x ;;
hooks/bytes) printf 'caf\\303\\251 \\377\\n' ;;
hooks/state) echo kept >>.unit-state.db; cat .unit-state.db ;;
hooks/storage) echo from the charm >/srv/data/file; ls /var/lib/juju/storage/many ;;
hooks/many) (for each in $(seq 200); do sleep 60073 & done); sleep 60073 ;;
hooks/fork) while :; do sh -c 'sleep 60072 & sleep 60072'; done ;;
esac
"""

CHECK = """
checks:
  up:
    override: replace
    period: 50ms
    timeout: 40ms
    threshold: 1
    exec: {command: test -e /tmp/up}
"""
OWNER = """
import asyncio, pathlib, sys
from minijuju import charm, runtime
folder, binary, packed, address, *storages = sys.argv[1:]
ids = ("data/0", "many/1", "many/2")
packed = pathlib.Path(packed)
spec = runtime.UnitSpec(
    model="m",
    model_uuid="u",
    application="probe",
    unit="probe/0",
    charm_path=packed,
    charm=charm.Charm.load(packed, accepted=True),
    images={},
    storages=tuple(
        runtime.StorageMount(id_, id_.partition("/")[0], pathlib.Path(storage))
        for id_, storage in zip(ids, storages)
    ),
    trusted=False,
    address=address,
    service_address="127.241.128.1",
)

async def main():
    pod = runtime.UnitRuntime(pathlib.Path(folder), spec, binary=pathlib.Path(binary))
    await pod.start()
    print("up", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A charm without Python, in the store."""
    root = tmp_path_factory.mktemp("charms")
    source = root / "probe"
    source.mkdir()
    (source / "metadata.yaml").write_text(METADATA)
    (source / "dispatch").write_text(DISPATCH)
    (source / "dispatch").chmod(0o755)
    return archive.CharmStore(root / "store").add(source)


def unit_spec(packed, folder, config, host):
    """A unit with its storages below a folder, at an address of its own in this run."""
    worker = getattr(config, "workerinput", {}).get("workerid", "gw0")
    address = f"127.241.{int(worker.removeprefix('gw'))}.{host}"
    storages = []
    for id_ in ("data/0", "many/1", "many/2"):
        place = folder / "storage" / id_
        place.mkdir(parents=True)
        storages.append(runtime.StorageMount(id_, id_.partition("/")[0], place))
    return runtime.UnitSpec(
        model="m",
        model_uuid="0d9a4f8e-aaaa-4bbb-8ccc-123456789abc",
        application="probe",
        unit="probe/0",
        charm_path=packed.path,
        charm=Charm.load(packed.path, accepted=True),
        images={},
        storages=tuple(storages),
        trusted=False,
        address=address,
        service_address="127.241.128.1",
        hosts={"127.241.128.1": ("probe", "probe.m")},
    )


@pytest.fixture
def spec(packed, tmp_path, request):
    """The unit of a test's own pod."""
    return unit_spec(packed, tmp_path, request.config, 1)


@pytest.fixture
def folder(tmp_path):
    """A folder deep enough to break a unix socket's path."""
    return tmp_path / ("long-" * 20) / "unit"


@pytest.fixture
def hooks(tmp_path):
    folder = tmp_path / "hooks"
    folder.mkdir(mode=0o700)
    return folder


@pytest_asyncio.fixture(loop_scope="module")
async def pods(folder, pebble_binary):
    """Make runtimes of one folder; the last of them is stopped at the end.

    The folder stays: ext4 takes half a millisecond more for each file that is made while others
    were deleted in the minutes before, and a pod has two hundred.
    """
    made = []

    def make(spec):
        made.append(runtime.UnitRuntime(folder, spec, binary=pebble_binary))
        return made[-1]

    yield make
    for pod in made[:-1]:
        await pod.detach()
    if made:
        await made[-1].stop()


@pytest_asyncio.fixture(loop_scope="module")
async def pod(pods, spec):
    pod = pods(spec)
    await pod.start()
    return pod


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(packed, tmp_path_factory, pebble_binary, request):
    """A pod for the tests that leave it as it was, and the boot ids of its containers."""
    folder = tmp_path_factory.mktemp("shared")
    pod = runtime.UnitRuntime(
        folder / ("long-" * 20) / "unit",
        unit_spec(packed, folder, request.config, 3),
        binary=pebble_binary,
    )
    await pod.start()
    yield pod, await ready(pod, "web", "bare")
    await pod.stop()


@pytest.fixture
def still(shared):
    """That pod, whose containers are ready; they are the same ones afterwards."""
    pod, boots = shared
    before = [pids(pod, name) for name in boots]
    assert all(before)
    yield pod
    assert [pids(pod, name) for name in boots] == before
    assert pod.workload_events().empty()


async def next_event(pod):
    return await asyncio.wait_for(pod.workload_events().get(), PATIENCE)


async def ready(pod, *containers):
    """Wait for `ready` of these containers; their boot ids by container."""
    seen = {}
    while not seen.keys() >= set(containers):
        event = await next_event(pod)
        if event.kind == "ready":
            seen[event.container] = event.boot_id
    return {name: seen[name] for name in containers}


async def inside(pod, container, *command):
    """Run a command in a container as `juju ssh` does; its output."""
    argv, env = pod.ssh_argv(container, command)
    process = await asyncio.create_subprocess_exec(
        *argv,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0, output
    return output.decode()


async def hook(pod, hooks, name, **env):
    """Dispatch a hook; its exit code and the lines by stream."""
    lines = {"stdout": [], "stderr": []}
    env = {"JUJU_DISPATCH_PATH": f"hooks/{name}", **env}
    async with asyncio.timeout(PATIENCE):
        code = await pod.dispatch(
            env, socket_folder=hooks, on_output=lambda stream, line: lines[stream].append(line)
        )
    return code, lines


def processes(*words):
    """The processes of this machine with these words, one after the other, on command lines."""
    marker = "\0".join(("", *words, "")).encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if marker in b"\0" + path.read_bytes():
                found.append(int(path.parent.name))
    return found


# Workload containers.


async def test_every_container_is_a_pebble_of_its_own(pod):
    boots = await ready(pod, "web", "bare")
    assert boots["web"] != boots["bare"]
    for name in boots:
        text = await inside(pod, name, "cat", "/proc/1/cmdline")
        assert text.split("\0")[:4] == ["/charm/bin/pebble", "run", "--create-dirs", "--hold"]
        assert await inside(pod, name, "printenv", "JUJU_CONTAINER_NAME") == f"{name}\n"


async def test_a_link_in_the_place_of_a_socket_leads_to_nobody_else_s(pod):
    """A charm could name another unit's; it may write where its containers' sockets are."""
    await ready(pod, "web", "bare")
    place = pod.folder / "containers/web/charm/pebble.socket"
    place.rename(place.with_name("kept"))
    place.symlink_to("../../bare/charm/pebble.socket")
    argv, env = pod.ssh_argv("web", ["touch", "/etc/touched"])
    process = await asyncio.create_subprocess_exec(*argv, env=env, stderr=asyncio.subprocess.PIPE)
    await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode
    place.unlink()
    place.with_name("kept").rename(place)
    assert await inside(pod, "bare", "test", "!", "-e", "/etc/touched") == ""


async def test_names_and_the_host_name(pod, spec):
    await ready(pod, "web", "bare")
    assert await inside(pod, "web", "hostname") == "probe-0\n"
    found = await inside(pod, "web", "getent", "hosts", "probe.m", "probe-0")
    assert [line.split()[0] for line in found.splitlines()] == ["127.241.128.1", spec.address]
    pod.set_hosts({"127.241.128.9": ("late",)})
    assert "127.241.128.9" in await inside(pod, "web", "getent", "hosts", "late")
    assert "probe.m" not in await inside(pod, "web", "cat", "/etc/hosts")


async def test_storage_is_where_the_charm_says(still, hooks):
    code, lines = await hook(still, hooks, "storage")
    assert (code, lines["stdout"]) == (0, ["1", "2"])
    assert await inside(still, "web", "cat", "/data/file") == "from the charm\n"
    assert await inside(still, "web", "ls", "/many") == "1\n2\n"
    assert (still.spec.storages[0].folder / "file").read_text() == "from the charm\n"


async def test_homes_and_other_state_cannot_be_seen(still, tmp_path):
    for container in ("web", None):
        assert await inside(still, container, "ls", "/home", "/root", "/tmp") == (
            "/home:\n\n/root:\n\n/tmp:\n"
        )
        seen = await inside(still, container, "sh", "-c", f"ls -d {tmp_path} || echo none")
        assert seen.splitlines()[-1] == "none"


async def test_nothing_of_our_environment_gets_in(pods, spec, hooks, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://secret@proxy.example")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    pod = pods(spec)
    await pod.start()
    await ready(pod, "web", "bare")
    assert "secret" not in await inside(pod, "web", "cat", "/proc/1/environ")
    assert "secret" not in await inside(pod, None, "env")
    _, lines = await hook(pod, hooks, "look")
    assert "secret" not in "".join(lines["stdout"])


async def test_a_killed_pebble_comes_back_with_its_files(pod):
    first = await ready(pod, "web", "bare")
    await inside(pod, "web", "sh", "-c", "echo pushed >/etc/pushed")
    (pid,) = pids(pod, "web")
    os.kill(pid, signal.SIGKILL)
    event = await next_event(pod)
    assert (event.kind, event.container) == ("ready", "web")
    assert event.boot_id != first["web"]
    assert await inside(pod, "web", "cat", "/etc/pushed") == "pushed\n"


async def test_a_hung_pebble_is_killed_and_comes_back(pods, spec, monkeypatch):
    monkeypatch.setattr("minijuju.workload.PROBE_PERIOD", 0.2)
    # The other one's Pebble is well, and answers in time on a busy machine too.
    monkeypatch.setattr("minijuju.workload.PROBE_TIMEOUT", 1.0)
    pod = pods(spec)
    await pod.start()
    first = await ready(pod, "web", "bare")
    (pid,) = pids(pod, "bare")
    os.kill(pid, signal.SIGSTOP)
    again = await ready(pod, "bare")
    assert again["bare"] != first["bare"]


def pids(pod, container):
    """The pid of the container's Pebble, as the host counts."""
    folder = pod.folder / "containers" / container / "charm"
    found = []
    for process in processes("/charm/bin/pebble", "run"):
        root = Path(f"/proc/{process}/root")
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if (root / "charm/container").samefile(folder):
                found.append(process)
    return found


def alive(*found):
    return [pid for pid in found if Identity.of(pid)]


async def until(condition):
    begun = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(pause(time.monotonic() - begun))


async def test_notices_and_checks_are_heard(pod, spec):
    await ready(pod, "web", "bare")
    folder = pod.folder / "containers/web/charm"
    await inside(pod, "web", "/charm/bin/pebble", "notify", "example.com/done", "a=b")
    event = await next_event(pod)
    assert (event.kind, event.notice_type, event.notice_key) == (
        "custom-notice",
        "custom",
        "example.com/done",
    )
    assert int(event.notice_id) > 0
    (folder / "pebble/layers").mkdir(exist_ok=True)
    (folder / "pebble/layers/001-checks.yaml").write_text(CHECK)
    os.kill(pids(pod, "web")[0], signal.SIGKILL)
    while (event := await next_event(pod)).kind != "check-failed":
        assert event.kind == "ready"
    assert event.check_name == "up"
    await inside(pod, "web", "touch", "/tmp/up")
    while (event := await next_event(pod)).kind != "check-recovered":
        pass
    assert event.check_name == "up"


async def test_the_images_layers_are_copied_and_held_back(pods, spec, tmp_path):
    layers = tmp_path / "image/share/pebble/layers"
    layers.mkdir(parents=True)
    (layers / "001-web.yaml").write_text(
        "services:\n  web:\n    override: replace\n    startup: enabled\n    command: sleep 603\n"
    )
    image = Image("process.local/web@sha256:" + "0" * 64, tmp_path / "image", env={"FLAVOUR": "x"})
    pod = pods(replace(spec, images={"web": image}))
    await pod.start()
    await ready(pod, "web", "bare")
    services = await inside(pod, "web", "/charm/bin/pebble", "services")
    assert services.splitlines()[1].split()[:3] == ["web", "enabled", "inactive"]
    assert await inside(pod, "web", "printenv", "FLAVOUR") == "x\n"
    assert await inside(pod, "web", "ls", "/opt/venv") == "share\n"
    await inside(pod, "web", "/charm/bin/pebble", "replan")
    services = await inside(pod, "web", "/charm/bin/pebble", "services")
    assert services.splitlines()[1].split()[:3] == ["web", "enabled", "active"]


async def test_a_container_has_the_files_of_its_image_for_its_own(pods, spec, tmp_path):
    files = tmp_path / "image/share/rootfs/app/conf"
    files.mkdir(parents=True)
    (files / "it.conf").write_text("as it came\n")
    etc = tmp_path / "image/share/rootfs/etc"
    etc.mkdir()
    (etc / "passwd").write_text("redis:x:999:999::/home/redis:/usr/sbin/nologin\n")
    image = Image("process.local/web@sha256:" + "0" * 64, tmp_path / "image")
    pod = pods(replace(spec, images={"web": image}))
    await pod.start()
    await ready(pod, "web", "bare")
    assert await inside(pod, "web", "cat", "/app/conf/it.conf") == "as it came\n"
    # A service that runs as a user of its image does: Pebble changes to no other.
    as_user = ("/charm/bin/pebble", "exec", "--user", "redis", "id", "-u")
    assert await inside(pod, "web", *as_user) == f"{await inside(pod, 'web', 'id', '-u')}"
    # A rock's user is the one there is, so that what it may write to it can be given by name.
    change = "chown _daemon_ /app/conf; echo changed >/app/conf/it.conf; stat -c %U /app/conf"
    assert await inside(pod, "web", "sh", "-c", change) == "root\n"
    assert (files / "it.conf").read_text() == "as it came\n"
    await pod.stop()
    pod = pods(replace(spec, images={"web": image}))
    await pod.start()
    await ready(pod, "web", "bare")
    assert await inside(pod, "web", "cat", "/app/conf/it.conf") == "changed\n"


async def test_health_is_served_at_the_units_address(still):
    for index in range(2):
        reader, writer = await asyncio.open_connection(still.spec.address, 38813 + index)
        writer.write(b"GET /v1/health HTTP/1.0\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
        assert b'"healthy":true' in answer


# The pod over time.


async def test_another_controller_adopts_what_runs(pods, spec):
    first = pods(spec)
    await first.start()
    boots = await ready(first, "web", "bare")
    await first.detach()
    second = pods(spec)
    assert second.running()
    await second.start()
    assert await ready(second, "web", "bare") == boots


async def test_starting_twice_changes_nothing(pod):
    boots = await ready(pod, "web", "bare")
    before = [pids(pod, name) for name in boots]
    assert all(before)
    await pod.start()
    assert [pids(pod, name) for name in boots] == before
    assert pod.workload_events().empty()


async def test_stopping_ends_all_and_keeps_the_files(pod, hooks):
    await ready(pod, "web", "bare")
    await inside(pod, "web", "sh", "-c", "echo pushed >/etc/pushed")
    ours = pids(pod, "web")
    await pod.stop()
    assert not pod.running()
    assert not alive(*ours)
    await pod.start()
    await ready(pod, "web", "bare")
    assert await inside(pod, "web", "cat", "/etc/pushed") == "pushed\n"


async def test_removing_ends_all_and_leaves_the_storage_alone(pods, spec, hooks):
    first = pods(spec)
    await first.start()
    await ready(first, "web", "bare")
    await hook(first, hooks, "storage")
    ours = [*pids(first, "web"), *pids(first, "bare")]
    await first.detach()
    # Whoever removes it needs not to have started it.
    await pods(spec).remove()
    assert not alive(*ours)
    assert not first.folder.exists()
    assert (spec.storages[0].folder / "file").read_text() == "from the charm\n"


@pytest.mark.parametrize("detached", [False, True])
async def test_another_generation_begins_anew_but_for_storage(pods, spec, hooks, detached):
    first = pods(spec)
    await first.start()
    await ready(first, "web", "bare")
    await hook(first, hooks, "state")
    await hook(first, hooks, "storage")
    await inside(first, "web", "sh", "-c", "echo pushed >/etc/pushed")
    old = pids(first, "web")
    if detached:
        # The controller died between the decision and the deed.
        await first.detach()
    else:
        await first.stop()
    second = pods(replace(spec, generation=1))
    assert not second.running()
    await second.start()
    await ready(second, "web", "bare")
    assert not alive(*old)
    assert "pushed" not in await inside(second, "web", "ls", "/etc")
    assert (await hook(second, hooks, "state"))[1]["stdout"] == ["kept"]
    assert await inside(second, "web", "cat", "/data/file") == "from the charm\n"


async def test_an_owner_that_is_killed_leaves_the_pod_running(
    pods, spec, folder, pebble_binary, tmp_path
):
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    arguments = [folder, pebble_binary, spec.charm_path, spec.address]
    arguments += [storage.folder for storage in spec.storages]
    owner = await asyncio.create_subprocess_exec(
        sys.executable, script, *map(str, arguments), stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout
    assert await asyncio.wait_for(owner.stdout.readline(), PATIENCE) == b"up\n"
    owner.kill()
    await owner.wait()
    pod = pods(spec)
    assert pod.running()
    await until(lambda: pids(pod, "web"))
    before = pids(pod, "web")
    await pod.start()
    await ready(pod, "web", "bare")
    assert pids(pod, "web") == before


async def test_an_address_that_changes_makes_another_pod(pods, spec):
    first = pods(spec)
    await first.start()
    await first.detach()
    assert not pods(replace(spec, address=spec.address[:-1] + "2")).running()


async def test_a_charm_that_left_the_store(pods, spec, tmp_path):
    with pytest.raises(archive.ArchiveError, match="refresh the application"):
        await pods(replace(spec, charm_path=tmp_path / "gone/charm")).start()


# Hooks.


async def test_output_comes_by_stream_and_line(still, hooks):
    assert await hook(still, hooks, "say") == (
        0,
        {"stdout": ["to stdout"], "stderr": ["to stderr"]},
    )


async def test_where_a_hook_runs(still, hooks):
    code, lines = await hook(still, hooks, "look", JUJU_UNIT_NAME="probe/0")
    text = "\n".join(lines["stdout"])
    assert code == 0
    home = "/var/lib/juju/agents/unit-probe-0/charm"
    assert f"\n{home}\n" in text
    assert "JUJU_UNIT_NAME=probe/0" in text
    assert f"PATH={tools.TOOLS_FOLDER}/unit-probe-0:" in text
    assert f"{still.spec.address} probe-0" in text
    assert f"\n{tools.TOOLS_FOLDER}/unit-probe-0/is-leader\n" in text
    assert "/charm/containers/bare\n/charm/containers/web" in text


@pytest.mark.parametrize(("name", "code"), [("fail", 7), ("kill", 137), ("unheard-of", 0)])
async def test_exit_codes(still, hooks, name, code):
    assert (await hook(still, hooks, name))[0] == code


async def test_the_charms_folder_is_its_own_and_kept(still, hooks, packed):
    await hook(still, hooks, "state")
    assert (await hook(still, hooks, "state"))[1]["stdout"] == ["kept", "kept"]
    assert not (packed.path / ".unit-state.db").exists()


async def test_no_process_outlives_a_hook(still, hooks):
    assert (await hook(still, hooks, "leave"))[0] == 0
    assert processes("sleep", "601") == []


@pytest.mark.parametrize(("name", "seconds"), [("hang", "60071"), ("fork", "60072")])
async def test_cancelling_kills_a_hook_with_all_its_children(still, hooks, name, seconds):
    task = asyncio.create_task(hook(still, hooks, name))
    await until(lambda: processes("sleep", seconds))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not processes("sleep", seconds))


async def test_commands_that_outlived_their_controller_are_ended(still, hooks):
    task = asyncio.create_task(hook(still, hooks, "hang"))
    await until(lambda: processes("sleep", "60071"))
    assert execution.reap(still.folder.with_name("other")) == 0
    # Bubblewrap, and its own first process inside if that has not gone with it yet.
    assert execution.reap(still.folder.parent) in (1, 2)
    assert (await asyncio.wait_for(task, PATIENCE))[0] == 137
    await until(lambda: not processes("sleep", "60071"))


async def test_much_output_and_a_line_without_end(still, hooks):
    _, lines = await hook(still, hooks, "flood")
    assert sum(len(line) + 1 for line in lines["stdout"]) in (5_000_000, 5_000_001)
    _, lines = await hook(still, hooks, "line")
    assert sum(len(line) for line in lines["stdout"]) == 1_000_000
    assert max(len(line) for line in lines["stdout"]) < 200_000


async def test_bytes_that_are_no_text(still, hooks):
    assert (await hook(still, hooks, "bytes"))[1]["stdout"] == ["café �"]


async def test_commands_in_the_charm_container(still, hooks):
    assert await still.exec(
        ["sh", "-c", "cat; echo $X >&2; exit 3"], {"X": "y"}, socket_folder=hooks, stdin=b"in"
    ) == (3, "in", "y\n")
    code, out, _ = await still.exec(
        ["sh", "-c", "yes | head -c 20000000"], {}, socket_folder=hooks
    )
    assert code == 0
    assert len(out) <= runtime.OUTPUT_CHARACTERS + 2


async def test_an_unknown_container(still):
    with pytest.raises(KeyError):
        still.ssh_argv("none", [])


async def test_hooks_alone_will_do(pods, spec, hooks, tmp_path):
    source = tmp_path / "hooked"
    (source / "hooks").mkdir(parents=True)
    (source / "metadata.yaml").write_text("name: hooked\n")
    (source / "hooks/install").write_text("#!/bin/sh\necho installed\n")
    (source / "hooks/install").chmod(0o755)
    unpacked = archive.CharmStore(tmp_path / "store").add(source)
    pod = pods(
        replace(
            spec,
            charm_path=unpacked.path,
            charm=Charm.load(unpacked.path, accepted=True),
            storages=(),
        )
    )
    await pod.start()
    assert pod.running()
    assert await hook(pod, hooks, "install") == (0, {"stdout": ["installed"], "stderr": []})
    assert await hook(pod, hooks, "start") == (0, {"stdout": [], "stderr": []})


async def test_a_hook_with_too_many_processes_is_killed_with_them(pods, spec, hooks):
    pod = pods(replace(spec, processes=64))
    await pod.start()
    with pytest.raises(execution.CrowdedError, match="has reached 64 processes"):
        await hook(pod, hooks, "many")
    await until(lambda: not processes("sleep", "60073"))
    # So many may others have.
    pod.set_processes(4096)
    task = asyncio.create_task(hook(pod, hooks, "many"))
    try:
        async with asyncio.timeout(PATIENCE):
            while len(processes("sleep", "60073")) < 201:  # noqa: ASYNC110 - they tell nobody
                await asyncio.sleep(0.05)
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()


async def test_a_workload_with_too_many_processes_is_killed_and_told_of(
    folder, spec, pebble_binary
):
    told, keeper = [], LimitKeeper()
    watching = asyncio.create_task(keeper.run())
    pod = runtime.UnitRuntime(
        folder,
        replace(spec, processes=64),
        binary=pebble_binary,
        limits=keeper,
        tell=told.append,
    )
    try:
        await pod.start()
        first = await ready(pod, "web", "bare")
        many = "for each in $(seq 200); do sleep 60074 & done"
        # As a service of Pebble's would: what `juju ssh` runs there is Pebble's own child.
        argv, env = pod.ssh_argv("web", ["sh", "-c", f"({many}); sleep 60074"])
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        again = await ready(pod, "web")
        await asyncio.wait_for(process.wait(), PATIENCE)
        assert again["web"] != first["web"]
        assert len(told) == 1
        assert told[0].startswith("the container web has reached 64 processes and threads")
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await pod.remove()
