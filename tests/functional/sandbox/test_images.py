from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sandbox.errors import ImageError
from sandbox.images import ImageStore
from sandbox.spec import Image

from .conftest import PROJECT, Runner, finish, write_project


def test_an_image_is_at_its_prefix_with_its_environment(image: Image, runner: Runner) -> None:
    code = "import os, sys; print(sys.prefix, sys.executable, os.environ['FLAVOUR'])"
    container = runner.start("python", "-c", code, image=image)

    assert finish(container).code == 0
    assert runner.output(container) == "/opt/probe /opt/probe/bin/python plain\n"


def test_an_image_cannot_be_written_to(image: Image, runner: Runner) -> None:
    container = runner.start("touch", "/opt/probe/x", image=image)

    assert finish(container).code == 1


def test_it_is_built_once(store: ImageStore, image: Image, tmp_path: Path) -> None:
    lines: list[str] = []

    again = store.build(write_project(tmp_path / "elsewhere"), progress=lines.append)

    assert again == image
    assert lines == []
    assert store.get(image.reference) == image


def test_builders_of_the_same_image_do_it_once(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "probe")
    lines: list[str] = []
    built: list[Image] = []

    def build() -> None:
        built.append(ImageStore(tmp_path / "store").build(folder, progress=lines.append))

    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(built) == 3
    assert built[0] == built[1] == built[2]
    assert lines.count("building image probe") == 1


def test_a_failed_build_leaves_nothing_and_tells_why(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "probe", PROJECT.replace(">=3.11", ">=4.0"))

    with pytest.raises(ImageError, match=r"uv \w+ failed in .*(?s:.)*3\."):
        ImageStore(tmp_path / "store").build(folder)

    left = [p for p in (tmp_path / "store/images/probe").iterdir() if not p.name.endswith(".lock")]
    assert left == []


def test_a_build_killed_in_the_middle_is_not_taken_for_whole(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "probe")
    code = (
        "import os, signal, sys; from pathlib import Path; from sandbox.images import ImageStore\n"
        "def progress(line):\n"
        "    if 'Creating' in line: os.kill(os.getpid(), signal.SIGKILL)\n"
        "ImageStore(Path(sys.argv[1])).build(Path(sys.argv[2]), progress=progress)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "store"), str(folder)], timeout=60
    )
    assert run.returncode == -signal.SIGKILL
    assert ImageStore(tmp_path / "store").images() == []

    image = ImageStore(tmp_path / "store").build(folder)

    assert os.access(image.path / "bin/python", os.X_OK)
    drafts = list((tmp_path / "store/images/probe").glob(".*.draft-*"))
    assert drafts == []
