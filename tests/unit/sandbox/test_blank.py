"""A folder made for any container: none is in it, and the next one takes what is there."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sandbox import blank
from sandbox.container import Container
from sandbox.spec import Spec

SPEC = Spec(("/bin/sh", "-c", "cat /etc/hosts; echo > /made"), hosts={"127.9.9.9": ("far",)})


def there(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and mode of all that lies in a folder."""
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mode)
        for path in folder.rglob("*")
    }


def test_there_is_no_container_in_it(tmp_path: Path) -> None:
    blank.make(tmp_path / "c")

    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o700
    assert Container.adopt(tmp_path / "c") is None
    assert all(path.is_dir() or not path.read_bytes() for path in (tmp_path / "c").rglob("*"))


async def test_a_container_takes_what_is_there_and_is_like_any_other(tmp_path: Path) -> None:
    blank.make(tmp_path / "blank")
    made = there(tmp_path / "blank")
    for name in ("blank", "other"):
        spec = Spec(SPEC.command, hosts=SPEC.hosts, output=tmp_path / f"{name}.log")
        container = await asyncio.to_thread(Container.start, tmp_path / name, spec)
        assert (await container.wait()).code == 0
        assert "127.9.9.9 far" in (tmp_path / f"{name}.log").read_text()
    found, other = there(tmp_path / "blank"), there(tmp_path / "other")

    assert {name: mode for name, (_, mode) in found.items()} == {
        name: mode for name, (_, mode) in other.items()
    }
    assert {inode for inode, _ in made.values()} <= {inode for inode, _ in found.values()}
    assert (tmp_path / "blank/root/made").is_file()


async def test_a_process_that_has_not_made_it_can_use_it(tmp_path: Path) -> None:
    blank.make(tmp_path / "c")
    [draft] = [path for path in (tmp_path / "c").iterdir() if path.name.startswith(".")]
    draft.rename(tmp_path / "c/.spec.json.1")

    container = await asyncio.to_thread(Container.start, tmp_path / "c", Spec(("/bin/true",)))

    assert (await container.wait()).code == 0
    found = Container.adopt(tmp_path / "c")
    assert found is not None
    assert found.exit() == container.exit()
