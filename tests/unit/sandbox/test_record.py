from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import record
from sandbox.errors import SandboxError
from sandbox.spec import Exit, Image, Limits, Mount, Network, Scratch, Spec

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
paths = texts.map(lambda text: Path("/", text))
images = st.builds(
    Image,
    reference=texts,
    path=paths,
    prefix=texts,
    env=st.dictionaries(texts, texts, max_size=3),
    preload=st.lists(texts, max_size=3).map(tuple),
)
specs = st.builds(
    Spec,
    command=st.lists(texts, min_size=1, max_size=3).map(tuple),
    env=st.dictionaries(texts, texts, max_size=3),
    cwd=texts,
    image=st.none() | images,
    root=st.none() | paths,
    mounts=st.lists(
        st.builds(Mount, paths, texts, st.booleans())
        | st.builds(Scratch, texts, st.none() | st.integers()),
        max_size=3,
    ).map(tuple),
    user=st.integers(),
    group=st.integers(),
    accounts=st.lists(texts, max_size=2).map(tuple),
    read_only_root=st.booleans(),
    hosts=st.dictionaries(texts, st.lists(texts, max_size=2).map(tuple), max_size=2),
    limits=st.builds(
        Limits, st.none() | st.integers(), st.none() | st.floats(allow_nan=False, min_value=0)
    ),
    output=st.none() | paths,
    warm=st.booleans(),
    network=st.none() | st.builds(Network, paths, texts),
)


@settings(deadline=None)
@given(specs)
def test_a_spec_is_read_back_as_it_was_written(spec: Spec) -> None:
    with tempfile.TemporaryDirectory() as folder:
        record.write_spec(Path(folder), spec)
        started = record.read_spec(Path(folder))

    assert started is not None
    assert started.spec == spec
    assert started.boot == record.boot_id()


def test_records_are_for_their_owner_alone(tmp_path: Path) -> None:
    record.write_spec(tmp_path, Spec(("true",), env={"TOKEN": "secret"}))

    assert (tmp_path / "spec.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["spec.json"]


def test_a_record_of_an_earlier_version(tmp_path: Path) -> None:
    record.write_spec(tmp_path, Spec(("true",)))
    path = tmp_path / "spec.json"
    data = json.loads(path.read_text())
    for name in ("user", "group", "accounts", "read_only_root"):
        del data["spec"][name]
    path.write_text(json.dumps(data))

    assert record.read_spec(tmp_path).spec == Spec(("true",))  # type: ignore[union-attr]


def test_a_damaged_spec_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text('{"spec": {}}')

    with pytest.raises(SandboxError, match=r"spec\.json is damaged"):
        record.read_spec(tmp_path)


def test_nothing_recorded(tmp_path: Path) -> None:
    assert record.read_spec(tmp_path) is None
    assert record.read_process(tmp_path) is None
    assert record.read_exit(tmp_path) is None
    assert record.read_reason(tmp_path) is None
    assert record.read_status(tmp_path) == record.Status()
    assert not record.monitored(tmp_path)


@pytest.mark.parametrize(
    ("text", "pid", "code"),
    [
        ("", None, None),
        ('{"child-pid": 7, "pid-namespace": 9}\n', 7, None),
        ('{"child-pid": 7}\n{"exit-code": 3}\n', 7, 3),
        ('{"child-pid": 7}\n{"exit-co', 7, None),
        ('{"child-', None, None),
    ],
)
def test_the_monitors_lines(tmp_path: Path, text: str, pid: int | None, code: int | None) -> None:
    (tmp_path / "status").write_text(text)

    status = record.read_status(tmp_path)

    assert (status.pid, status.code) == (pid, code)


def test_the_lock_shows_whether_a_monitor_lives(tmp_path: Path) -> None:
    lock = record.lock_status(tmp_path)
    assert lock is not None
    assert record.monitored(tmp_path)
    assert record.lock_status(tmp_path) is None

    os.close(lock)

    assert not record.monitored(tmp_path)


def test_a_process_is_told_from_another_of_its_pid() -> None:
    own = record.identify(os.getpid(), 0.0)
    assert own is not None
    assert own.alive()

    assert not dataclasses.replace(own, start=own.start - 1).alive()
    assert not dataclasses.replace(own, boot="another").alive()


def test_process_and_exit_are_read_back(tmp_path: Path) -> None:
    process = record.Process(1, 2, "boot", 3.5)
    ended = Exit(137, "OOMKilled", 4.5)

    (tmp_path / "status").write_text('{"child-pid": 1}\n')
    record.note_process(tmp_path, process)
    record.note_exit(tmp_path, ended)

    assert record.read_process(tmp_path) == process
    assert record.read_exit(tmp_path) == ended
    # It stands among the monitor's lines, which say the same as before.
    with (tmp_path / "status").open("a") as stream:
        stream.write('{"exit-code": 3}\n')
    status = record.read_status(tmp_path)
    assert (status.pid, status.code, status.process) == (1, 3, process)
    assert {path.name for path in tmp_path.iterdir()} == {"status", "exit.json"}


def test_a_process_that_an_earlier_version_has_noted(tmp_path: Path) -> None:
    (tmp_path / "pid.json").write_text('{"pid": 1, "start": 2, "boot": "boot", "started": 3.5}')

    assert record.read_process(tmp_path) == record.Process(1, 2, "boot", 3.5)


def test_a_process_that_cannot_be_noted_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record.note_process(tmp_path, record.Process(1, 2, "boot", 3.5))

    assert "is not noted" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_room_for_the_monitor_is_taken_and_the_file_stays_empty(tmp_path: Path) -> None:
    lock = record.lock_status(tmp_path)
    assert lock is not None

    record.reserve(lock)

    found = (tmp_path / "status").stat()
    assert found.st_size == 0
    assert found.st_blocks * 512 >= 4096
    assert record.read_status(tmp_path) == record.Status(changed=found.st_mtime)
    os.close(lock)


def test_a_full_disk_stops_neither_an_end_nor_the_note_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, data: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(record, "write", full)

    record.note_reason(tmp_path, "Stopped")

    assert record.read_reason(tmp_path) is None
    assert "reason is not written: [Errno 28] No space left on device" in caplog.text


def test_children_while_a_thread_ends(monkeypatch):
    known = Path.iterdir
    with subprocess.Popen(["sleep", "600"]) as child:
        # The thread 0 was listed and is there no more.
        monkeypatch.setattr(record.Path, "iterdir", lambda path: [path / "0", *known(path)])
        try:
            assert child.pid in record.children(os.getpid())
        finally:
            child.kill()
