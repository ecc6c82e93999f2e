"""Charms in the store: what is taken of a folder or an archive, and what is refused."""

import json
import os
import stat
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from minijuju import archive, interpreters
from sandbox.errors import ImageError
from sandbox.spec import Image

METADATA = "name: tiny\nsummary: s\n"
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
FILE, FOLDER = stat.S_IFREG, stat.S_IFDIR


class Images:
    """An image store that builds nothing."""

    def __init__(self):
        self.built = []

    def build(self, folder, *, project, progress):
        assert not project
        self.built.append(folder)
        if (folder / "uv.lock").read_text() == "broken":
            raise ImageError("uv sync failed: no such package")
        return Image("process.local/tiny@sha256:" + "0" * 64, folder)

    def get(self, reference):
        return Image(reference, self.built[0]) if self.built else None


@pytest.fixture
def images():
    return Images()


@pytest.fixture
def store(tmp_path, images):
    return archive.CharmStore(tmp_path / "store", images)


@pytest.fixture
def pack(tmp_path):
    """Write a charm archive of the given entries: name to content, or to (content, st_mode)."""

    def write(entries, **options):
        path = tmp_path / "tiny.charm"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, entry in entries.items():
                content, mode = entry if isinstance(entry, tuple) else (entry, FILE | 0o644)
                info = zipfile.ZipInfo("name")
                info.filename = info.orig_filename = name
                info.external_attr = mode << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                file.writestr(info, content)
        return path

    return write


PACKED = {
    "metadata.yaml": METADATA,
    "dispatch": ("#!/bin/sh\n", FILE | 0o755),
    "src/charm.py": "x = 1\n",
    f"venv/lib/python{HERE}/site-packages/lib.py": "y = 2\n",
}


@pytest.fixture
def source(tmp_path):
    """A charm's source folder, with what lies around in one."""
    folder = tmp_path / "source"
    craft = {
        "name": "tiny",
        "title": "Tiny",
        "type": "charm",
        "base": "ubuntu@24.04",
        "config": {"options": {"port": {"type": "int"}}},
        "actions": {"go": {}},
        "parts": {},
    }
    files = {
        "charmcraft.yaml": yaml.safe_dump(craft),
        "pyproject.toml": "[project]\nname='tiny'\nversion='0'\n",
        "uv.lock": "version = 1\n",
        "src/charm.py": "x = 1\n",
        "src/templates/a.j2": "{{ a }}",
        "tests/test_it.py": "",
        ".git/config": "",
        ".venv/bin/python": "",
        "old.charm": "",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def names(folder):
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def leftovers(store):
    return [path for path in store.root.iterdir() if path.name.startswith(".")]


def test_a_packed_charm_is_unpacked_as_it_is(store, pack):
    unpacked = store.add(pack(PACKED))
    assert names(unpacked.path) == set(PACKED)
    assert (unpacked.path / "dispatch").stat().st_mode & 0o777 == 0o755
    assert (unpacked.path / "src/charm.py").read_text() == "x = 1\n"
    assert unpacked.python == HERE
    assert unpacked.environment is None
    assert archive.UnpackedCharm.load(unpacked.path) == unpacked
    assert not leftovers(store)


def test_the_environment_is_bound_to_the_interpreter_that_runs_it(store, pack):
    config = "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.99\n"
    unpacked = store.add(pack({**PACKED, "venv/pyvenv.cfg": config}))
    folder = interpreters.find(HERE).executable.parent
    assert (unpacked.path / "venv/pyvenv.cfg").read_text() == config.replace(
        "/usr/bin", str(folder)
    )


def test_bytecode_is_compiled_once_and_for_all(store, pack):
    unpacked = store.add(pack(PACKED))
    for folder, how in (("src", 0b11), (f"venv/lib/python{HERE}/site-packages", 0b01)):
        (compiled,) = (unpacked.path / folder / "__pycache__").glob("*.pyc")
        # By hash: that of a package is not checked, since nobody changes packages.
        assert int.from_bytes(compiled.read_bytes()[4:8], "little") == how


def test_what_a_charm_makes_of_its_own_source_is_what_runs(store, pack):
    unpacked = store.add(pack({**PACKED, "src/own.py": "print(1)\n"}))
    source = unpacked.path / "src/own.py"
    before = source.stat()
    source.write_text("print(2)\n")
    # As long as it was, and within the same second: a timestamp does not tell.
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    done = subprocess.run(
        [sys.executable, "-c", "import own"], cwd=source.parent, capture_output=True, check=True
    )
    assert done.stdout == b"2\n"


def test_the_same_charm_has_one_place(store, pack):
    with ThreadPoolExecutor(4) as pool:
        path = pack(PACKED)
        found = set(pool.map(store.add, [path] * 4))
    assert len(found) == 1
    changed = store.add(pack({**PACKED, "src/charm.py": "x = 2\n"}))
    assert changed.path not in {unpacked.path for unpacked in found}


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "src/../../evil",
        "/etc/evil",
        "src//x",
        "./x",
        "src/.",
        "..",
        "a\\..\\evil",
        "a\x00b",
        "a\nb",
        "a\x1b[31m",
        "x" * 256,
        "/".join(["d" * 100] * 11),
    ],
)
def test_unsafe_names_are_refused(store, pack, tmp_path, name):
    with pytest.raises(archive.ArchiveError, match="unsafe name"):
        store.add(pack({**PACKED, name: "boo"}))
    assert not leftovers(store)
    assert not list(tmp_path.rglob("evil"))


@given(st.text(max_size=30))
def test_a_safe_name_stays_below_the_target(name):
    if archive._safe(name):
        target = "/target/folder"
        joined = os.path.normpath(os.path.join(target, name))
        assert joined.startswith(target + "/")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK, FOLDER])
def test_what_is_no_plain_file_is_refused(store, pack, kind):
    with pytest.raises(archive.ArchiveError, match="neither a file nor a folder"):
        store.add(pack({**PACKED, "lib": ("/etc/passwd", kind | 0o777)}))


def test_set_uid_is_dropped_and_files_stay_readable(store, pack):
    unpacked = store.add(pack({**PACKED, "su": ("", FILE | 0o4755), "odd": ("", FILE | 0o044)}))
    assert stat.S_IMODE((unpacked.path / "su").stat().st_mode) == 0o755
    assert stat.S_IMODE((unpacked.path / "odd").stat().st_mode) == 0o644


def test_an_entry_that_is_there_twice_is_refused(store, pack):
    path = pack(PACKED)
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("dispatch", "again")
    with pytest.raises(archive.ArchiveError, match="there twice"):
        store.add(path)


def test_a_file_where_a_folder_is_needed(store, pack):
    with pytest.raises(archive.ArchiveError, match="cannot be unpacked"):
        store.add(pack({**PACKED, "src": "file"}))
    assert not leftovers(store)


def test_a_bomb_is_refused_before_anything_is_written(store, pack, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    with pytest.raises(archive.ArchiveError, match="would unpack to"):
        store.add(pack({**PACKED, "zeros": b"\0" * 10_000}))
    assert not leftovers(store)


def test_too_many_entries_are_refused(store, pack, monkeypatch):
    monkeypatch.setattr(archive, "MAX_FILES", 10)
    with pytest.raises(archive.ArchiveError, match="at most 10"):
        store.add(pack({**PACKED, **{f"f{number}": "" for number in range(10)}}))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a zip" * 100])
def test_what_is_no_archive_is_refused(store, tmp_path, content):
    path = tmp_path / "x.charm"
    path.write_bytes(content)
    with pytest.raises(archive.ArchiveError, match=r"x\.charm is no readable charm archive"):
        store.add(path)
    assert not leftovers(store)


def test_a_damaged_entry_is_refused(store, pack):
    path = pack({**PACKED, "big": os.urandom(5000)})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(archive.ArchiveError):
        store.add(path)


def test_a_missing_archive(store, tmp_path):
    with pytest.raises(archive.ArchiveError, match="No such file"):
        store.add(tmp_path / "none.charm")


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ({"dispatch": ("", FILE | 0o755)}, "no metadata"),
        ({"metadata.yaml": METADATA}, "nothing to run"),
        ({"metadata.yaml": METADATA, "dispatch": ""}, "dispatch is not executable"),
    ],
)
def test_what_is_no_charm_is_refused(store, pack, entries, problem):
    with pytest.raises(archive.ArchiveError, match=problem):
        store.add(pack(entries))


def test_a_charm_of_hooks_alone_will_do(store, pack):
    unpacked = store.add(pack({"metadata.yaml": METADATA, "hooks/install": ("", FILE | 0o755)}))
    assert unpacked.python is None
    assert unpacked.interpreter() == interpreters.own()


def test_a_charm_for_a_python_that_is_not_here(store, pack):
    entries = {**PACKED, "venv/lib/python3.99/site-packages/x.py": ""}
    del entries[f"venv/lib/python{HERE}/site-packages/lib.py"]
    with pytest.raises(interpreters.PythonError, match=r"no Python 3\.99"):
        store.add(pack(entries))
    assert not leftovers(store)


def test_a_source_folder_becomes_what_charmcraft_packs(store, source, images):
    unpacked = store.add(source)
    assert names(unpacked.path) == {
        "actions.yaml",
        "charmcraft.yaml",
        "config.yaml",
        "dispatch",
        "manifest.yaml",
        "metadata.yaml",
        "pyproject.toml",
        "src/charm.py",
        "src/templates/a.j2",
        "uv.lock",
    }
    metadata = yaml.safe_load((unpacked.path / "metadata.yaml").read_text())
    assert metadata == {"name": "tiny", "display-name": "Tiny"}
    assert os.access(unpacked.path / "dispatch", os.X_OK)
    assert images.built == [source]
    assert unpacked.image(images).reference == unpacked.environment
    assert unpacked.python is None


def test_a_source_folders_own_dispatch_is_kept(store, source):
    (source / "dispatch").write_text("#!/bin/sh\necho mine\n")
    (source / "dispatch").chmod(0o755)
    unpacked = store.add(source)
    assert (unpacked.path / "dispatch").read_text() == "#!/bin/sh\necho mine\n"


def test_packages_without_a_lock_are_refused(store, source):
    (source / "uv.lock").unlink()
    with pytest.raises(archive.ArchiveError, match=r"no uv\.lock"):
        store.add(source)


def test_an_environment_that_cannot_be_built(store, source):
    (source / "uv.lock").write_text("broken")
    with pytest.raises(archive.ArchiveError, match="no such package"):
        store.add(source)
    assert not leftovers(store)


@pytest.mark.parametrize("text", ["a: [", "- a", "a: 1\na: 2\n"])
def test_a_charmcraft_yaml_that_is_none(store, source, text):
    (source / "charmcraft.yaml").write_text(text)
    with pytest.raises(archive.ArchiveError, match="charmcraft"):
        store.add(source)


def test_an_edit_is_another_charm_and_a_touch_is_not(store, source):
    first = store.add(source)
    os.utime(source / "src/charm.py", (1, 1))
    assert store.add(source) == first
    (source / "src/charm.py").write_text("x = 3\n")
    assert store.add(source) != first


def test_links_within_a_charm_are_followed_and_others_refused(store, source, tmp_path):
    (source / "src/copy.py").symlink_to("charm.py")
    assert (store.add(source).path / "src/copy.py").read_text() == "x = 1\n"
    (tmp_path / "secret").write_text("s")
    (source / "src/leak").symlink_to(tmp_path / "secret")
    with pytest.raises(archive.ArchiveError, match="leak is neither a file of this charm"):
        store.add(source)


def test_a_linked_folder_is_refused(store, source, tmp_path):
    (source / "src/etc").symlink_to("/etc")
    with pytest.raises(archive.ArchiveError, match="is a link"):
        store.add(source)


def test_a_pipe_is_refused(store, source):
    os.mkfifo(source / "src/pipe")
    with pytest.raises(archive.ArchiveError, match="pipe is neither a file"):
        store.add(source)


def test_an_unpacked_charm_keeps_its_packages(store, pack, tmp_path):
    with zipfile.ZipFile(pack(PACKED)) as file:
        file.extractall(tmp_path / "unpacked")
    (tmp_path / "unpacked/dispatch").chmod(0o755)
    unpacked = store.add(tmp_path / "unpacked")
    assert names(unpacked.path) == set(PACKED)
    assert unpacked.python == HERE


def test_a_charm_or_environment_that_is_gone(store, source, tmp_path):
    unpacked = store.add(source)
    with pytest.raises(archive.ArchiveError, match="refresh the application"):
        unpacked.image(Images())
    with pytest.raises(archive.ArchiveError, match="refresh the application"):
        archive.UnpackedCharm.load(tmp_path / "none/charm")


def test_the_documents_of_a_bare_charmcraft_yaml():
    assert archive.packed_documents({"name": "x"}) == {"metadata.yaml": {"name": "x"}}
    assert json.dumps(archive.packed_documents({"name": "x", "base": "ubuntu@22.04"})) == (
        '{"metadata.yaml": {"name": "x"}, '
        '"manifest.yaml": {"bases": [{"name": "ubuntu", "channel": "22.04"}]}}'
    )
