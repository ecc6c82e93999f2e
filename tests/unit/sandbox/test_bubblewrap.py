from __future__ import annotations

from pathlib import Path

import pytest

from sandbox import bubblewrap
from sandbox.errors import SandboxError


def program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def _no_memory() -> None:
    bubblewrap._find.cache_clear()


def test_the_one_on_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = program(tmp_path / "bin", "bwrap", "echo bubblewrap 0.9.0")
    monkeypatch.setenv("PATH", f"{own.parent}:/usr/bin:/bin")

    assert bubblewrap.find() == own.resolve()


def test_an_old_one_on_the_path_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = program(tmp_path / "bin", "bwrap", "echo bubblewrap 0.4.1")
    monkeypatch.setenv("PATH", f"{own.parent}:/usr/bin:/bin")

    assert bubblewrap.find() != own.resolve()


def test_none_is_an_error_that_tells_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = program(tmp_path / "bin", "bwrap", "echo bubblewrap 0.4.1")
    monkeypatch.setenv("PATH", f"{own.parent}:/usr/bin:/bin")
    monkeypatch.setattr(bubblewrap, "_packaged", lambda: None)

    with pytest.raises(SandboxError, match=r"found .*bwrap \(version \(0, 4, 1\)\)"):
        bubblewrap.find()


def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> bubblewrap.Check:
    own = program(tmp_path / "bin", "bwrap", script)
    monkeypatch.setattr(bubblewrap, "find", lambda: own)
    return bubblewrap.check()


def test_a_machine_that_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = check(tmp_path, monkeypatch, "echo bubblewrap 0.11.0")

    assert found.ok
    assert "bubblewrap 0.11.0" in found.found


@pytest.mark.parametrize(
    ("switch", "value", "remedy"),
    [
        ("_APPARMOR_SWITCH", "1\n", 'profile sandbox-bwrap "'),
        ("_CLONE_SWITCH", "0\n", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("_MAXIMUM", "0\n", "sysctl -w user.max_user_namespaces"),
        ("_MAXIMUM", "nonsense", "seccomp=unconfined"),
    ],
)
def test_what_is_in_the_way_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, switch: str, value: str, remedy: str
) -> None:
    for name in ("_APPARMOR_SWITCH", "_CLONE_SWITCH", "_MAXIMUM"):
        monkeypatch.setattr(bubblewrap, name, tmp_path / "none")
    (tmp_path / "switch").write_text(value)
    monkeypatch.setattr(bubblewrap, switch, tmp_path / "switch")

    found = check(tmp_path, monkeypatch, "echo 'no permissions' >&2; exit 1")

    assert not found.ok
    assert "no permissions" in found.found
    assert remedy in found.remedy
