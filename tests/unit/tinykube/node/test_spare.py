"""The folder that the next pod takes: never another's, and never needed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sandbox.network import Subnet
from tinykube.node.addresses import Addresses
from tinykube.node.runs import Runs
from tinykube.node.spare import Spare


@pytest.fixture
def addresses(tmp_path: Path) -> Addresses:
    (tmp_path / "pods").mkdir()
    return Addresses(tmp_path / "pods", Subnet(20), "127.0.0.1")


@pytest.fixture
def spare(tmp_path: Path, addresses: Addresses) -> Spare:
    return Spare(tmp_path, addresses)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_pod_takes_what_is_there(tmp_path: Path, spare: Spare, addresses: Addresses) -> None:
    spare.renew()
    inode, before = (tmp_path / "spare").stat().st_ino, time.time()
    log = (tmp_path / "spare/next/output.log").stat().st_ino
    pod = tmp_path / "pods/a"

    spare.take(pod)

    assert pod.stat().st_ino == inode
    assert pod.stat().st_mode & 0o777 == 0o700
    assert not (tmp_path / "spare").exists()
    assert addresses.of("a") == "127.20.0.1"
    assert before <= (addresses.since("a") or 0) <= time.time()
    # A container that waits for something has no log yet.
    assert Runs(pod, "main").logged() is None
    Runs(pod, "main").make_message(0)
    assert Runs(pod, "main").log(0).stat().st_ino == log
    # The second one makes its own.
    Runs(pod, "second").make_message(0)
    assert files(pod / "second.0") == {"message"}
    assert {path.name for path in pod.iterdir()} == {"address", "main.0", "second.0"}


def test_it_is_made_anew_and_only_when_it_is_wanted(tmp_path: Path, spare: Spare) -> None:
    spare.take(tmp_path / "pods/first")
    assert files(tmp_path / "pods/first") == set()

    spare.renew()
    spare.take(tmp_path / "pods/second")
    (tmp_path / "pods/second/next/message").write_text("of the second")
    spare.take(tmp_path / "pods/third")
    assert files(tmp_path / "pods/third") == set()
    spare.renew()
    inode = (tmp_path / "spare").stat().st_ino
    spare.renew()
    assert (tmp_path / "spare").stat().st_ino == inode
    assert (tmp_path / "spare/next/message").read_bytes() == b""


def test_a_pod_that_has_a_folder_keeps_it(tmp_path: Path, spare: Spare) -> None:
    spare.renew()
    (tmp_path / "pods/a").mkdir()

    spare.take(tmp_path / "pods/a")

    assert files(tmp_path / "pods/a") == set()
    assert spare.there
    assert (tmp_path / "spare").is_dir()


def test_what_an_earlier_node_left_is_not_used(
    tmp_path: Path, spare: Spare, addresses: Addresses
) -> None:
    (tmp_path / "spare/next").mkdir(parents=True)
    (tmp_path / "spare/next/output.log").write_text("of another")

    spare.take(tmp_path / "pods/a")
    assert files(tmp_path / "pods/a") == set()
    spare.renew()

    assert (tmp_path / "spare/next/output.log").read_bytes() == b""


def test_one_that_has_vanished_is_missed_by_nobody(tmp_path: Path, spare: Spare) -> None:
    spare.renew()
    (tmp_path / "spare").rename(tmp_path / "away")

    spare.take(tmp_path / "pods/a")

    assert (tmp_path / "pods/a").stat().st_mode & 0o777 == 0o700
    spare.renew()
    spare.take(tmp_path / "pods/b")
    assert (tmp_path / "pods/b/next").is_dir()


def test_one_that_cannot_be_moved_stays(
    tmp_path: Path, spare: Spare, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare.renew()

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refuse)
        spare.take(tmp_path / "pods/a")

    assert files(tmp_path / "pods/a") == set()
    assert spare.there


def test_one_that_cannot_be_made_is_tried_again(
    tmp_path: Path, spare: Spare, addresses: Addresses, caplog: pytest.LogCaptureFixture
) -> None:
    full = True

    def lay_out(folder: Path) -> None:
        if full:
            raise OSError(28, "No space left on device")
        (folder / "address").touch()

    addresses.lay_out = lay_out  # type: ignore[method-assign]
    spare.renew()
    assert "No space left" in caplog.text
    spare.take(tmp_path / "pods/a")
    assert files(tmp_path / "pods/a") == set()

    full = False
    spare.renew()
    spare.take(tmp_path / "pods/b")
    assert (tmp_path / "pods/b/address").is_file()
