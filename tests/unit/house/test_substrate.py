"""One code path: what runs on the substrate does not know the substrate's name.

The READMEs may name it, since people have to be told how to run things on one machine.
"""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ABOVE = ("charms", "images", "examples", "lib/toolkit_charm", "lib/toolkit_jobs",
         "lib/toolkit_identity")  # fmt: skip
NAME = re.compile(rb"tinykube|minijuju", re.IGNORECASE)


def tracked(folder):
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder],
        cwd=ROOT, capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    paths = [ROOT / name.decode() for name in listed.stdout.split(b"\0") if name]
    return [path for path in paths if path.is_file() and path.name != "README.md"]


@pytest.mark.parametrize("folder", ABOVE)
def test_nothing_above_the_substrate_names_it(folder):
    files = tracked(folder)
    assert files
    naming = [str(path.relative_to(ROOT)) for path in files if NAME.search(path.read_bytes())]
    assert naming == []
