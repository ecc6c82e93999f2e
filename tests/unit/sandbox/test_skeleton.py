from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox import bubblewrap, skeleton
from sandbox.spec import Spec
from sandbox.tree import Tree

SPEC = Spec(("true",))
TARGETS = (("/srv/data", True),)


def make(top: Tree) -> None:
    top.folder("srv/data")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SANDBOX_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(skeleton, "overlays", lambda directory: True)
    return tmp_path / "store" / "skeletons"


@pytest.fixture
def untried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setenv("SANDBOX_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(skeleton, "_known", {})
    directory = tmp_path / "container"
    directory.mkdir()
    yield directory
    assert list(directory.iterdir()) == []
    assert list((tmp_path / "store").iterdir()) == []


def test_people_are_not_among_the_accounts(tmp_path: Path) -> None:
    source = tmp_path / "passwd"
    source.write_text(
        "root:x:0:0:root:/root:/bin/zsh\ndaemon:x:1:1::/:/bin/false\n"
        "ada:x:1000:1000:Ada:/home/ada:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
    )

    text = skeleton.accounts(source, "root:x:0:0:root:/root:/bin/sh").decode()

    assert text.splitlines() == [
        "root:x:0:0:root:/root:/bin/sh",
        "daemon:x:1:1::/:/bin/false",
        "nobody:x:65534:65534::/:/bin/false",
    ]
    # What a container gives a meaning of its own the system's account does not stand before.
    fewer = skeleton.accounts(source, "root:x:0:0:root:/root:/bin/sh", ("daemon", "absent"))
    assert fewer.decode() == text.replace("daemon:x:1:1::/:/bin/false\n", "")


def test_it_is_whole_and_of_its_owner_alone(store: Path) -> None:
    place = skeleton.shared(SPEC, TARGETS, make)

    assert (place / "srv/data").is_dir()
    assert (place / "etc/passwd").is_file()
    assert place.stat().st_mode & 0o777 == 0o755
    assert store.stat().st_mode & 0o777 == 0o700


def test_another_is_made_when_the_host_has_changed(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwd = tmp_path / "passwd"
    passwd.write_text("daemon:x:1:1::/:/bin/false\n")
    monkeypatch.setattr(skeleton, "_PASSWD", passwd)
    first = skeleton.shared(SPEC, TARGETS, make)
    passwd.write_text("daemon:x:1:1::/:/bin/false\nadded:x:2:2::/:/bin/false\n")
    second = skeleton.shared(SPEC, TARGETS, make)

    assert "added" not in (first / "etc/passwd").read_text()
    assert "added" in (second / "etc/passwd").read_text()


def test_many_at_once_make_one(store: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: skeleton.shared(SPEC, TARGETS, make), range(16)))

    assert len(set(found)) == 1
    assert list(store.iterdir()) == [found[0]]


def test_one_that_cannot_be_made_leaves_nothing(store: Path) -> None:
    def fail(top: Tree) -> None:
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        skeleton.shared(SPEC, TARGETS, fail)

    assert list(store.iterdir()) == []


def test_none_where_roots_cannot_lie_over_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skeleton, "overlays", lambda directory: "other" not in str(directory))

    assert skeleton.possible(tmp_path)
    assert not skeleton.possible(tmp_path / "other")
    assert not skeleton.possible(tmp_path / "a,b")


def test_it_is_tried_once(untried: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    monkeypatch.setattr(skeleton, "_try", lambda *where: tried.append(where) or "")

    assert skeleton.overlays(untried)
    assert skeleton.overlays(untried)
    assert len(tried) == 1


def test_a_bubblewrap_that_cannot_do_it(
    untried: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = tmp_path / "bwrap"
    old.write_text("#!/bin/sh\necho unknown option --overlay-src >&2\nexit 1\n")
    old.chmod(0o755)
    monkeypatch.setattr(bubblewrap, "find", lambda: old)

    with caplog.at_level("INFO"):
        assert not skeleton.overlays(untried)
    assert "unknown option --overlay-src" in caplog.text


def test_a_bubblewrap_that_does_not_run(
    untried: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bubblewrap, "find", lambda: tmp_path / "none")

    assert not skeleton.overlays(untried)


def test_a_trial_leaves_nothing(untried: Path) -> None:
    skeleton.overlays(untried)  # Whatever this machine can do.
