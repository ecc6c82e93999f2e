from __future__ import annotations

from pathlib import Path

import pytest

from sandbox import root, warm
from sandbox.spec import Image, Mount, Spec

PATH = "/opt/venv/bin:/usr/bin"
IMAGE = Image("process.local/x@sha256:0", Path("/x"), env={"PATH": PATH}, preload=("json",))


def eligible(command: tuple[str, ...], image: Image | None = IMAGE, **env: str) -> bool:
    spec = Spec(command, env=env, image=image, warm=True)
    return warm.eligible(spec, root.environment(spec))


@pytest.mark.parametrize(
    "command",
    [
        ("python", "script.py"),
        ("python3", "/toolkit/launcher", "--input", "x"),
        ("/opt/venv/bin/python3", "-m", "module", "-v"),
        ("python", "-u", "-c", "pass"),
    ],
)
def test_python_commands_start_warm(command: tuple[str, ...]) -> None:
    assert eligible(command)


@pytest.mark.parametrize(
    "command",
    [
        ("python",),
        ("python", "-m"),
        ("python", "-X", "dev", "script.py"),
        ("python", "-I", "script.py"),
        ("python", "-"),
        ("/usr/bin/python3", "script.py"),
        ("sh", "-c", "python script.py"),
    ],
)
def test_others_start_cold(command: tuple[str, ...]) -> None:
    assert not eligible(command)


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONHASHSEED": "0"},
        {"LANG": "de_DE.UTF-8"},
        {"LD_PRELOAD": "/x.so"},
        {"OMP_NUM_THREADS": "1"},
        {"PATH": "/usr/bin:/opt/venv/bin"},
    ],
)
def test_what_an_interpreter_reads_at_its_start_forbids_it(env: dict[str, str]) -> None:
    assert not eligible(("python", "script.py"), **env)


def test_what_the_image_itself_sets_does_not() -> None:
    image = Image("r", Path("/x"), env={"PATH": PATH, "LANG": "C.UTF-8"}, preload=("json",))

    assert eligible(("python", "script.py"), image)
    assert not eligible(("python", "script.py"), image, LANG="de_DE.UTF-8")


@pytest.mark.parametrize("env", [{"PYTHONPATH": "/lib"}, {"PYTHONUNBUFFERED": "1"}, {"A": "1"}])
def test_these_variables_are_free(env: dict[str, str]) -> None:
    assert eligible(("python", "script.py"), **env)


def test_only_images_with_modules_to_preload() -> None:
    assert not eligible(("python", "x.py"), Image("r", Path("/x"), env={"PATH": PATH}))
    assert not eligible(("python", "x.py"), None)


def test_what_containers_of_an_image_have_in_common(tmp_path: Path) -> None:
    """It is told in advance, so that nothing of a container's own may be in it."""
    shown = tmp_path / "shown"
    spec = Spec(
        ("python", "-c", ""), image=IMAGE, mounts=(Mount(shown, "/shown", read_only=True),)
    )
    own = tmp_path / "container"
    steps: list[root.Step] = [
        root.Overlay(Path("/lower"), own / "root", own / "work"),
        root.Bind(Path("/usr"), "/usr", read_only=True),
        root.Proc(),
        root.Dev(),
        root.Bind(own / "hosts", "/etc/hosts"),
        root.Bind(own / "tmp", "/tmp", read_only=True),
        root.Bind(IMAGE.path, IMAGE.prefix, read_only=True),
        root.Bind(shown, "/shown", read_only=True),
        root.Memory("/fast", None),
        root.Seal(),
    ]

    common = [step for step in steps if warm._common(step, spec, own)]

    assert common == [steps[1], steps[2], steps[3], steps[6]]
