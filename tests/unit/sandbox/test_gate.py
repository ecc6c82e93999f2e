from __future__ import annotations

import os
import resource

import pytest

from sandbox import gate


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "counted", lambda: True)


def hard(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (most, most))


@pytest.mark.parametrize(
    ("own", "found"), [(resource.RLIM_INFINITY, 100), (1000, 100), (100, 100), (60, 60)]
)
def test_nobody_can_be_given_more_than_this_process_has(
    monkeypatch: pytest.MonkeyPatch, own: int, found: int
) -> None:
    hard(monkeypatch, own)

    assert gate.bound(100) == found


def test_without_a_bound_there_is_no_gate() -> None:
    with gate.Gate(None) as before:
        assert (before.options, before.descriptors) == ((), ())
        before.lift()


def test_a_kernel_that_counts_all_of_a_users_processes_together_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gate, "counted", lambda: False)

    assert gate.bound(100) is None


@pytest.mark.parametrize(
    ("release", "found"), [("5.13.19", False), ("5.14.0-1-amd64", True), ("6.1.0", True)]
)
def test_which_kernels_count(monkeypatch: pytest.MonkeyPatch, release: str, found: bool) -> None:
    monkeypatch.undo()
    uname = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((*uname[:2], release, *uname[3:])))
    gate.counted.cache_clear()
    try:
        assert gate.counted() is found
    finally:
        gate.counted.cache_clear()


async def test_the_limit_is_set_before_the_command_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    hard(monkeypatch, resource.RLIM_INFINITY)
    given: list[tuple[int, int, tuple[int, int]]] = []
    with gate.Gate(100) as before:
        monkeypatch.setattr(resource, "prlimit", lambda *words: given.append(words))
        # In bubblewrap's place: it inherits these ends, and ours are closed after its start.
        telling, waiting = (os.dup(descriptor) for descriptor in before.descriptors)
        os.write(telling, b'{\n    "child-pid": 42')
        os.write(telling, b',\n    "pid-namespace": 4026532000\n}\n')
        os.close(telling)
        await before.lifted()
        assert given == [(42, resource.RLIMIT_NPROC, (100, 100))]
        assert os.read(waiting, 1) == b""
        os.close(waiting)


def test_all_is_closed_where_bubblewrap_was_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    hard(monkeypatch, resource.RLIM_INFINITY)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError), gate.Gate(100):
        raise FileNotFoundError

    assert set(os.listdir("/proc/self/fd")) == before
