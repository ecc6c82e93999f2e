"""What an environment holds when it is built, with a program in uv's place."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from toolkit_launcher import build

# Installs a package with tests of its own, and code that Python cannot compile; tells its words.
UV = """#!/bin/sh
set -eu
echo "$UV_LINK_MODE $UV_HTTP_RETRIES $*" >> "$(dirname "$0")/calls"
case "$*" in
*--dry-run*) echo "Would install 1 package"; exit 0;;
*no-such*) echo "no-such was not found"; exit 1;;
esac
while [ "$1" != --target ]; do shift; done
mkdir -p "$2/package/tests"
echo "a = 1" > "$2/package/__init__.py"
echo "b = 2" > "$2/package/tests/test_a.py"
echo "print 3" > "$2/package/old.py"
"""


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "uv"
    program.write_text(UV)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("TOOLKIT_UV", str(program))
    monkeypatch.setenv("UV_LINK_MODE", "copy")
    return program


def request(tmp_path: Path, *requirements: str) -> dict[str, Any]:
    target = tmp_path / "environment" / "site"
    target.mkdir(parents=True)
    group = {"requirements": requirements, "no_deps": False, "options": [], "fallback": []}
    return {"version": "1", "target": str(target), "groups": [group]}


def built(asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Build what is asked; the exit code and the record."""
    folder = Path(asked["target"]).parent
    (folder / "request.json").write_text(json.dumps(asked))
    code = build.run(str(folder / "request.json"))
    return code, json.loads((folder / "result.json").read_text())


def compiled(tmp_path: Path) -> set[str]:
    return {path.name.partition(".")[0] for path in tmp_path.rglob("*.pyc")}


def test_a_built_environment_is_compiled_but_for_tests(tmp_path: Path, uv: Path) -> None:
    asked = request(tmp_path, "package")
    code, result = built(asked)
    assert code == 0
    assert result == {
        "version": "1",
        "satisfied": False,
        "message": "",
        "packages": build.packages(asked["target"]),
    }
    assert compiled(tmp_path) == {"__init__"}
    assert Path(asked["target"], "package/tests/test_a.py").exists()
    # How files come from the cache is for the variables to say.
    told = (uv.parent / "calls").read_text().splitlines()
    assert [line.split(" ")[:2] for line in told] == [["copy", "8"]] * 2
    assert not any("--link-mode" in line for line in told)


def test_what_half_a_build_has_left_is_removed(tmp_path: Path, uv: Path) -> None:
    asked = request(tmp_path, "package")
    target = Path(asked["target"])
    (target / "half" / "deep").mkdir(parents=True)
    (target / "half.py").touch()
    (target / "link").symlink_to(tmp_path)
    (target.parent / "result.json").write_text("damaged")
    code, result = built(asked)
    assert (code, result["satisfied"], result["message"]) == (0, False, "")
    assert [each.name for each in target.iterdir()] == ["package"]
    assert uv.exists()


def test_a_step_of_its_own_compiles_as_it_imports(tmp_path: Path, uv: Path) -> None:
    assert build.install(request(tmp_path, "package")) == (False, "")
    assert compiled(tmp_path) == set()


def test_what_cannot_be_installed_is_told(tmp_path: Path, uv: Path) -> None:
    code, result = built(request(tmp_path, "no-such"))
    assert code == 1
    assert "could not install no-such: no-such was not found" in result["message"]


def installed(folder: Path, name: str, version: str, origin: Any = None) -> None:
    about = folder / f"{name}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if origin is not None:
        text = origin if isinstance(origin, str) else json.dumps(origin)
        (about / "direct_url.json").write_text(text)


def test_packages_are_listed_as_they_are_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, target = tmp_path / "image", tmp_path / "target"
    monkeypatch.setattr(sys, "path", [str(image)])
    installed(image, "Some.Package", "1.0")
    installed(image, "other_package", "1.0")
    installed(target, "some-package", "2.0")
    (image / "broken.dist-info").mkdir()
    assert build.packages(str(target)) == ["other-package==1.0", "some-package==2.0"]


@pytest.mark.parametrize(
    ("origin", "listed"),
    [
        (
            {"url": "https://me:secret@host/a.whl", "archive_info": {"hash": "sha256=ab"}},
            "a @ https://host/a.whl#sha256=ab",
        ),
        (
            {"url": "https://host/a.git", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}},
            "a @ https://host/a.git@c0ffee",
        ),
        ({"url": "file:///a", "dir_info": {}}, "a==1.0"),
        ("1", "a @ an unreadable address"),
        ("{", "a @ an unreadable address"),
        ({"url": "x", "vcs_info": "git"}, "a @ an unreadable address"),
    ],
)
def test_packages_from_an_address_are_listed_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: Any, listed: str
) -> None:
    monkeypatch.setattr(sys, "path", [])
    installed(tmp_path, "a", "1.0", origin)
    assert build.packages(str(tmp_path)) == [listed]
