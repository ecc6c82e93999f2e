"""One code path: what runs on the substrate does not know the substrate's name.

The READMEs may name it, since people have to be told how to run things on one machine.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ABOVE = ("charms", "images", "examples", "lib/toolkit_charm", "lib/toolkit_jobs",
         "lib/toolkit_identity")  # fmt: skip
NAME = re.compile(rb"tinykube|minijuju", re.IGNORECASE)
# Folders that building and running leave behind.
MADE = {".venv", "venv", "__pycache__", ".mypy_cache", ".pytest_cache", "build"}


def sources(folder):
    for path in sorted((ROOT / folder).rglob("*")):
        made = MADE.intersection(path.relative_to(ROOT).parts) or path.suffix in (
            ".charm",
            ".lock",
        )
        if path.is_file() and path.name != "README.md" and not made:
            yield path


@pytest.mark.parametrize("folder", ABOVE)
def test_nothing_above_the_substrate_names_it(folder):
    files = list(sources(folder))
    assert files
    naming = [str(path.relative_to(ROOT)) for path in files if NAME.search(path.read_bytes())]
    assert naming == []
