from __future__ import annotations

from pathlib import Path

import pytest

from sandbox import cgroup


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    """A stand-in for the cgroup file system: own cgroup app.slice/own, memory in app.slice."""
    top = tmp_path / "cgroup"
    for group in (".", "user.slice", "user.slice/app.slice", "user.slice/app.slice/own"):
        (top / group).mkdir(parents=True, exist_ok=True)
        (top / group / "cgroup.subtree_control").write_text("cpu")
        (top / group / "cgroup.procs").touch()
    (top / "cgroup.controllers").write_text("cpu memory")
    (top / "user.slice/app.slice/cgroup.subtree_control").write_text("cpu memory\n")
    (tmp_path / "self").write_text("0::/user.slice/app.slice/own\n")
    return top


def test_the_nearest_cgroup_with_memory(mount: Path, tmp_path: Path) -> None:
    assert cgroup.parent(mount, tmp_path / "self") == mount / "user.slice/app.slice"


def test_none_without_the_controller(mount: Path, tmp_path: Path) -> None:
    (mount / "user.slice/app.slice/cgroup.subtree_control").write_text("cpu")

    assert cgroup.parent(mount, tmp_path / "self") is None


@pytest.mark.parametrize("text", ["", "4:memory:/x\n", "0::/../..\n"])
def test_none_where_there_is_no_version_2(mount: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "self").write_text(text)

    assert cgroup.parent(mount, tmp_path / "self") is None


def test_a_container_is_confined_and_released(mount: Path, tmp_path: Path) -> None:
    directory = tmp_path / "container"
    directory.mkdir()
    above = mount / "user.slice/app.slice"

    assert cgroup.confine(directory, 42, 1 << 20, above)

    group = Path((directory / "cgroup").read_text())
    assert group.parent == above
    assert (group / "memory.max").read_text() == str(1 << 20)
    assert (group / "cgroup.procs").read_text() == "42"
    assert not cgroup.killed(directory)
    # Who adopts the container finds it confined.
    assert cgroup.confine(directory, 42, 1 << 20, above)
    assert Path((directory / "cgroup").read_text()) == group
    (group / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    assert cgroup.killed(directory)
    cgroup.release(directory)
    assert not (directory / "cgroup").exists()
    assert not cgroup.killed(directory)


def test_a_cgroup_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    directory = tmp_path / "container"
    directory.mkdir()

    assert not cgroup.confine(directory, 42, 1 << 20, tmp_path / "nowhere")
    assert not (directory / "cgroup").exists()
