from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sandbox import images
from sandbox.errors import ImageError
from sandbox.images import ImageStore

LOCK = """\
version = 1
revision = 3
requires-python = ">=3.11"

[[package]]
name = "hello"
version = "0.1"
source = { virtual = "." }
"""
PROJECT = '[project]\nname = "Hello"\nversion = "0.1"\nrequires-python = ">=3.11"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "hello"
    (place / "src").mkdir(parents=True)
    (place / "pyproject.toml").write_text(PROJECT)
    (place / "uv.lock").write_text(LOCK)
    (place / "src/hello.py").write_text("X = 1\n")
    return place


def test_the_recipe_of_a_plain_project(folder: Path) -> None:
    recipe = images.read_recipe(folder)

    assert (recipe.name, recipe.prefix, recipe.preload) == ("hello", "/opt/venv", ())
    assert recipe.env["PATH"].startswith("/opt/venv/bin:/usr/local/sbin:")


def test_the_table_is_read(folder: Path) -> None:
    with (folder / "pyproject.toml").open("a") as stream:
        stream.write(
            '[tool.process-image]\nprefix = "/opt/x"\nenv = {A = "1"}\npreload = ["json.tool"]\n'
        )

    recipe = images.read_recipe(folder)

    assert (recipe.prefix, recipe.preload) == ("/opt/x", ("json.tool",))
    assert recipe.env["A"] == "1"
    assert recipe.env["PATH"].startswith("/opt/x/bin:")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('prefix = "opt"', "prefix 'opt' is not a plain absolute path"),
        ('prefix = "/"', "is not a plain absolute path"),
        ('prefix = "/opt/../etc"', "is not a plain absolute path"),
        ("env = {A = 1}", "env is not a table of strings"),
        ('preload = "json"', "preload is not a list of module names"),
        ('preload = ["a b"]', "preload is not a list of module names"),
        ("preloads = []", r"has no option \['preloads'\]"),
    ],
)
def test_a_wrong_table_is_refused_by_field(folder: Path, table: str, message: str) -> None:
    with (folder / "pyproject.toml").open("a") as stream:
        stream.write(f"[tool.process-image]\n{table}\n")

    with pytest.raises(ImageError, match=message):
        images.read_recipe(folder)


def test_a_folder_that_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"it has no pyproject\.toml"):
        ImageStore(tmp_path / "store").build(tmp_path)


@pytest.mark.parametrize("name", ["../x", "", "a" * 200])
def test_a_name_that_cannot_be_a_folder(folder: Path, name: str) -> None:
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n')

    with pytest.raises(ImageError, match="cannot name an image"):
        images.read_recipe(folder)


def test_a_broken_project_file(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[project")

    with pytest.raises(ImageError, match=r"pyproject\.toml"):
        images.read_recipe(folder)


@pytest.mark.parametrize("name", ["pyproject.toml", "uv.lock", "src/hello.py", "README.md"])
def test_the_digest_follows_what_goes_in(folder: Path, name: str) -> None:
    before = images._digest(folder)

    with (folder / name).open("a") as stream:
        stream.write("\n# more\n")

    assert images._digest(folder) != before


@pytest.mark.parametrize(
    "name", [".venv/x", "src/__pycache__/x.pyc", "Containerfile", "tests/t.py"]
)
def test_the_digest_does_not_follow_what_stays_out(folder: Path, name: str) -> None:
    before = images._digest(folder)

    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("x")

    assert images._digest(folder) == before


def test_the_digest_of_an_environment_alone_follows_project_and_lock(folder: Path) -> None:
    before = images._digest(folder, project=False)
    assert before != images._digest(folder)

    with (folder / "src/hello.py").open("a") as stream:
        stream.write("\n# more\n")
    assert images._digest(folder, project=False) == before

    with (folder / "uv.lock").open("a") as stream:
        stream.write("\n# more\n")
    assert images._digest(folder, project=False) != before


def test_the_digest_is_of_the_content_not_of_the_place(folder: Path, tmp_path: Path) -> None:
    before = images._digest(folder)

    assert images._digest(folder.rename(tmp_path / "elsewhere")) == before


def test_the_digest_follows_local_dependencies(folder: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "code.py").write_text("1")
    with (folder / "uv.lock").open("a") as stream:
        stream.write('\n[[package]]\nname = "library"\nsource = { directory = "../library" }\n')
    before = images._digest(folder)

    (library / "code.py").write_text("2")

    assert images._digest(folder) != before


def test_a_local_dependency_that_is_not_there(folder: Path) -> None:
    with (folder / "uv.lock").open("a") as stream:
        stream.write('\n[[package]]\nname = "library"\nsource = { directory = "../library" }\n')

    with pytest.raises(ImageError, match="library is not at"):
        images._digest(folder)


def place_image(store: ImageStore, name: str, digest: str) -> str:
    place = store.root / "images" / name / digest
    (place / "env").mkdir(parents=True)
    data = {"prefix": "/opt/venv", "env": {"A": "1"}, "preload": ["json"]}
    (place / "image.json").write_text(json.dumps(data))
    return f"process.local/{name}@sha256:{digest}"


def test_get(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    reference = place_image(store, "hello", "a" * 64)

    image = store.get(reference)

    assert image is not None
    assert image.path == tmp_path / "images/hello" / ("a" * 64) / "env"
    assert (image.prefix, image.env, image.preload) == ("/opt/venv", {"A": "1"}, ("json",))


@pytest.mark.parametrize(
    "reference",
    [
        "python:3.11",
        "process.local/hello",
        f"process.local/hello@sha256:{'b' * 64}",
        f"process.local/../hello@sha256:{'a' * 64}",
        f"process.local/hello@sha256:{'A' * 64}",
        f"process.local/hello@sha256:{'a' * 64}\n",
        f"process.local/hello@sha256:{'a' * 63}/",
    ],
)
def test_get_knows_no_others(tmp_path: Path, reference: str) -> None:
    store = ImageStore(tmp_path)
    place_image(store, "hello", "a" * 64)

    assert store.get(reference) is None


def test_prune_keeps_what_is_named(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    kept = place_image(store, "hello", "a" * 64)
    gone = place_image(store, "hello", "b" * 64)

    assert store.prune({kept}) == [gone]

    assert [image.reference for image in store.images()] == [kept]
    assert not (tmp_path / "images/hello" / ("b" * 64)).exists()


def test_the_store_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_STORE", "/some/store")
    assert images.store_root() == Path("/some/store")

    monkeypatch.delenv("SANDBOX_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert images.store_root() == Path("/cache/sandbox")


def test_what_an_image_carries_as_data_is_compiled_where_it_can_be(tmp_path: Path) -> None:
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    folder = tmp_path / "share" / "launcher"
    folder.mkdir(parents=True)
    (folder / "__main__.py").write_text("print('as ever')\n")
    (folder / "template.py").write_text("{% not Python %}\n")

    with (tmp_path / "lock").open("w") as lock:
        images._compile(tmp_path / "share", lock.fileno())

    compiled = [path.name for path in (folder / "__pycache__").iterdir()]
    assert compiled == [f"__main__.{sys.implementation.cache_tag}.pyc"]


def test_an_image_without_data_has_nothing_to_compile(tmp_path: Path) -> None:
    images._compile(tmp_path / "share", -1)

    assert not list(tmp_path.iterdir())
