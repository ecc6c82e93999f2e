"""An image holds the environment of the process image of the same folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.images import ImageStore, read_recipe

from .builder import ROOT
from .conftest import NAMES, PATIENCE

CONTENTS = Path(__file__).with_name("contents.py")


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def there(name, run):
    """What the image has."""
    program = CONTENTS.read_text()
    code, printed = run(name, entrypoint=["/opt/venv/bin/python", "-"], program=program)
    assert code == 0, printed
    return json.loads(printed)


@pytest.fixture
def here(name, tell):
    """What the process image has."""
    tell(f"process image {name}")
    built = ImageStore().build(ROOT / "images" / name)
    printed = subprocess.run(
        [built.path / "bin" / "python", "-"],
        input=CONTENTS.read_text(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    ).stdout
    return json.loads(printed)


def test_an_image_has_the_packages_of_its_process_image(name, there, here):
    assert there["prefix"] == read_recipe(ROOT / "images" / name).prefix
    assert there["left by the build"] == []
    if there["python"] != here["python"]:
        # A lock may have other versions for another Python.
        pytest.skip(f"the image has Python {there['python']}, and this is {sys.version}")
    for package, found in here["packages"].items():
        assert there["packages"][package] == found, package
    assert set(there["packages"]) == set(here["packages"])
    assert set(there["programs"]) >= set(here["programs"])
