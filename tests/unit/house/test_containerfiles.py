"""Containerfiles bring the uv of the lock, and the environment of the process image."""

import re
import tomllib
from pathlib import Path

import pytest

from sandbox.images import read_recipe

ROOT = Path(__file__).parents[3]
FILES = sorted(ROOT.glob("images/*/Containerfile"))


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.parent.name)
def test_a_containerfile_follows_its_locks(file):
    text, folder = file.read_text(), file.parent
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    (version,) = (package["version"] for package in locked if package["name"] == "uv")
    assert f"COPY --from=ghcr.io/astral-sh/uv:{version} /uv" in text
    assert f"UV_PROJECT_ENVIRONMENT={read_recipe(folder).prefix} " in text
    # What the lock takes from the repository is copied, and nothing else is.
    packages = tomllib.loads((folder / "uv.lock").read_text())["package"]
    sources = [package["source"] for package in packages]
    local = {
        str((folder / place).resolve().relative_to(ROOT))
        for source in sources
        for kind in ("directory", "editable")
        if (place := source.get(kind))
    }
    assert set(re.findall(r"^COPY ((?:lib|images)/\S+) \1$", text, re.MULTILINE)) == local


def test_every_image_has_one():
    assert {path.parent for path in FILES} == {
        path.parent for path in ROOT.glob("images/*/pyproject.toml")
    }
