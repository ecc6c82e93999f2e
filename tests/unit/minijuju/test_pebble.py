"""Pebble is found or built once; the tools that would build it are scripts here."""

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from minijuju import golang, pebble

GO = """\
#!/bin/sh
case $1 in
env) echo go{version}; exit ;;
esac
echo run >>{log}
for argument; do
    case $argument in -o=*) output=${{argument#-o=}} ;; esac
done
mkdir -p "$GOMODCACHE/module" && touch "$GOMODCACHE/module/file" && chmod 500 "$GOMODCACHE/module"
{then}
"""
BUILDS = """\
printf '#!/bin/sh\\necho v1.32.1\\n' >"$output"
chmod +x "$output"
"""


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """An empty PATH to put scripts on."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "env", "mkdir", "touch", "chmod", "sleep"):
        for system in ("/usr/bin", "/bin"):
            if os.path.exists(f"{system}/{name}") and not (folder / name).exists():
                (folder / name).symlink_to(f"{system}/{name}")
    monkeypatch.setenv("PATH", str(folder))

    def add(name, text):
        path = folder / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    return add


@pytest.fixture
def go(tools, tmp_path):
    """Put a Go on PATH; returns what tells how often it built."""
    log = tmp_path / "builds"
    log.touch()

    def add(version="1.26.8", then=BUILDS):
        tools("go", GO.format(version=version, log=log, then=then))
        return lambda: len(log.read_text().splitlines())

    return add


def leftovers(store):
    return [path for path in (store / "tools").iterdir() if path.name.startswith(".pebble")]


@pytest.mark.parametrize(
    ("script", "version"),
    [
        ("echo v1.30.0", (1, 30, 0)),
        ("echo 'unknown flag' >&2; exit 1", None),
        ("exit 0", None),
    ],
)
def test_what_calls_itself_pebble(tools, script, version):
    assert pebble.version_of(tools("pebble", f"#!/bin/sh\n{script}\n")) == version


def test_no_program_at_all(tmp_path):
    assert pebble.version_of(tmp_path / "none") is None


@pytest.mark.parametrize(("version", "taken"), [("v1.26.0", True), ("v1.25.9", False)])
def test_one_on_path_is_taken_if_it_is_new_enough(tools, tmp_path, version, taken):
    path = tools("pebble", f"#!/bin/sh\necho {version}\n")
    assert pebble.find(tmp_path / "store") == (path if taken else None)


def test_a_snap_is_not_taken(tools, tmp_path):
    snap = tools("snap", "#!/bin/sh\necho v1.30.0\n")
    snap.with_name("pebble").symlink_to(snap)
    assert pebble.find(tmp_path) is None


def test_it_is_built_once_by_many(go, tmp_path):
    builds = go()
    said = []
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(pebble.ensure, tmp_path, progress=said.append) for _ in range(4)]
        found = {job.result() for job in jobs}
    assert len(found) == 1
    assert builds() == 1
    assert pebble.find(tmp_path) == found.pop()
    assert ["building pebble" in line and "v1.32.1" in line for line in said] == [True]
    assert not leftovers(tmp_path)


def test_a_failed_build_says_why_and_leaves_nothing(go, tmp_path):
    go(then="echo 'verifying module: checksum mismatch' >&2; exit 1")
    with pytest.raises(pebble.PebbleError, match="checksum mismatch"):
        pebble.ensure(tmp_path)
    assert not leftovers(tmp_path)
    assert pebble.find(tmp_path) is None
    builds = go()
    pebble.ensure(tmp_path)
    assert builds() == 2


def test_one_that_does_not_run_is_not_kept(go, tmp_path):
    go(then='printf "#!/bin/sh\\nexit 1\\n" >"$output"; chmod +x "$output"')
    with pytest.raises(pebble.PebbleError, match="does not run"):
        pebble.ensure(tmp_path)
    assert pebble.find(tmp_path) is None


def test_what_a_killed_build_left_is_cleared_away(go, tmp_path):
    stale = tmp_path / "tools/.pebble-dead/gopath"
    stale.mkdir(parents=True)
    (stale / "module").mkdir(mode=0o500)
    go()
    pebble.ensure(tmp_path)
    assert not leftovers(tmp_path)


def test_an_interrupted_build_ends_its_processes(go, tmp_path):
    go(then=f"echo $$ >{tmp_path}/pid; sleep 60")

    def interrupt():
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            if finished.wait(0.01):
                return
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    finished = threading.Event()
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            pebble.ensure(tmp_path)
    finally:
        finished.set()
        thread.join()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("version", ["1.26.4", "1.19", None])
def test_without_a_recent_go_the_toolchain_is_fetched_by_hash(
    go, tools, tmp_path, monkeypatch, version
):
    if version:
        go(version=version)
    fetched = GO.format(version="1.26.6", log=tmp_path / "fetched", then=BUILDS)
    script = tmp_path / "go-script"
    script.write_text(fetched)
    uv = tools(
        "uv",
        f"""#!/bin/sh
echo "$@" >{tmp_path}/arguments
for argument; do
    case $argument in --target=*) target=${{argument#--target=}} ;; esac
done
mkdir -p "$target/go/bin"
/bin/cp {script} "$target/go/bin/go"
chmod +x "$target/go/bin/go"
""",
    )
    monkeypatch.setattr(golang.uv, "find_uv_bin", lambda: str(uv))
    pebble.ensure(tmp_path / "store")
    arguments = (tmp_path / "arguments").read_text().split()
    assert "--require-hashes" in arguments
    assert f"--python={sys.executable}" in arguments
    assert (tmp_path / "fetched").read_text() == "run\n"


def test_no_go_and_no_index(tools, tmp_path, monkeypatch):
    uv = tools("uv", "#!/bin/sh\necho 'error: no such host'; exit 2\n")
    monkeypatch.setattr(golang.uv, "find_uv_bin", lambda: str(uv))
    with pytest.raises(pebble.PebbleError, match=r"(?s)no such host.*Install Pebble 1\.26"):
        pebble.ensure(tmp_path)


def test_the_module_pins_what_it_builds():
    assert pebble.pinned_version() == "v1.32.1"
    sums = (pebble.MODULE / "go.sum").read_text()
    assert f"github.com/canonical/pebble {pebble.pinned_version()} h1:" in sums
