"""What becomes of an attempt's files on the service's side."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path

import pytest

from toolkit_pipelines.events import IN_WORKSPACE
from toolkit_pipelines.manifest import Entry
from toolkit_pipelines.root import PipelineRoot
from toolkit_pipelines.steps import Exchange, ManifestError
from toolkit_pipelines.steps.errors import AbsentError, ConflictError, DamagedError
from toolkit_pipelines.steps.exchange import Source

from .conftest import ATTEMPT, PRODUCER, read

GOOD = {"version": "1", "exit_code": 0, "message": "", "parameters": {}, "artifacts": {}}


def entry(path: str, content: bytes) -> Entry:
    weak = base64.b64encode(hashlib.md5(content).digest()).decode()
    return Entry(path, len(content), hashlib.sha256(content).hexdigest(), weak)


def send(exchange: Exchange, path: str, content: bytes) -> None:
    with exchange.receiving(ATTEMPT, path) as upload:
        upload.write(content)


def left(root: PipelineRoot) -> list[str]:
    home = root.folder / ATTEMPT.task
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def test_one_launcher_claims_an_attempt(exchange: Exchange, root: PipelineRoot) -> None:
    assert not root.claimed(ATTEMPT)
    task = exchange.claim(ATTEMPT, "claim-one")
    assert task == read(root, ATTEMPT.input)
    # Its answer may have been lost.
    assert exchange.claim(ATTEMPT, "claim-one") == task
    with pytest.raises(ConflictError, match="does not run twice"):
        exchange.claim(ATTEMPT, "claim-two")
    with pytest.raises(ManifestError):
        exchange.claim(ATTEMPT, "x")
    assert root.claimed(ATTEMPT)
    assert left(root) == [f"{ATTEMPT.salt}.json", f"{ATTEMPT.salt}/.started"]


def test_outputs_are_there_with_the_result_and_not_before(
    exchange: Exchange, root: PipelineRoot
) -> None:
    exchange.declare(
        ATTEMPT, (Entry("model", folder=True), entry("model/w", b"www"), entry("data", b"d"))
    )
    send(exchange, "model/w", b"www")
    folder = root.folder / ATTEMPT.folder
    assert not list(folder.iterdir())
    with pytest.raises(ConflictError, match="1 declared files have not come: data"):
        exchange.settle(ATTEMPT, GOOD)
    assert not list(folder.iterdir())
    send(exchange, "data", b"d")
    exchange.settle(ATTEMPT, GOOD)
    assert (folder / "model" / "w").read_bytes() == b"www"
    assert (folder / "data").read_bytes() == b"d"
    assert read(root, f"{ATTEMPT.folder}/result.json") == GOOD
    assert not (root.folder / f"{ATTEMPT.folder}.part").exists()
    # The answer may have been lost: told again, nothing changes.
    exchange.settle(ATTEMPT, {**GOOD, "exit_code": 1})
    assert read(root, f"{ATTEMPT.folder}/result.json") == GOOD
    for late in (lambda: exchange.declare(ATTEMPT, ()), lambda: send(exchange, "data", b"d")):
        with pytest.raises(ConflictError, match="there already"):
            late()


def test_a_service_killed_while_it_commits_goes_on(
    exchange: Exchange, root: PipelineRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange.declare(ATTEMPT, (entry("a", b"a"), entry("b", b"b")))
    send(exchange, "a", b"a")
    send(exchange, "b", b"b")
    replace = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if self.name == "b":
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            exchange.settle(ATTEMPT, GOOD)
    assert not (root.folder / ATTEMPT.folder / "result.json").exists()
    exchange.settle(ATTEMPT, GOOD)
    folder = root.folder / ATTEMPT.folder
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b", "result.json"]


@pytest.mark.parametrize("content", [b"dat", b"data!", b"DATA", b""])
def test_a_damaged_file_is_refused_and_leaves_nothing(
    exchange: Exchange, root: PipelineRoot, content: bytes
) -> None:
    exchange.declare(ATTEMPT, (entry("data", b"data"),))
    with pytest.raises(DamagedError):
        send(exchange, "data", content)
    assert left(root) == [f"{ATTEMPT.salt}.json", f"{ATTEMPT.salt}.part/declared.json"]
    send(exchange, "data", b"data")
    exchange.settle(ATTEMPT, GOOD)


def test_a_sender_that_goes_away_leaves_nothing(exchange: Exchange, root: PipelineRoot) -> None:
    exchange.declare(ATTEMPT, (entry("data", b"data"),))

    def half() -> None:
        with exchange.receiving(ATTEMPT, "data") as upload:
            upload.write(b"da")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        half()
    assert left(root) == [f"{ATTEMPT.salt}.json", f"{ATTEMPT.salt}.part/declared.json"]


def test_only_what_was_declared_is_taken(exchange: Exchange) -> None:
    exchange.declare(ATTEMPT, (Entry("folder", folder=True), entry("x", b"")))
    for path in ("other", "folder", "../x", ""):
        with pytest.raises(AbsentError, match="not declared"):
            send(exchange, path, b"")


def test_a_failed_attempt_drops_what_it_sent(exchange: Exchange, root: PipelineRoot) -> None:
    exchange.declare(ATTEMPT, (entry("data", b"data"),))
    send(exchange, "data", b"data")
    exchange.settle(ATTEMPT, {**GOOD, "exit_code": 3, "message": "why"})
    assert left(root) == [f"{ATTEMPT.salt}.json", f"{ATTEMPT.salt}/result.json"]


@pytest.mark.parametrize("result", [None, [], {}, {"exit_code": "0"}])
def test_a_result_is_a_record(exchange: Exchange, result: object) -> None:
    with pytest.raises(ManifestError):
        exchange.settle(ATTEMPT, result)


def test_an_attempt_without_outputs_has_a_record_alone(
    exchange: Exchange, root: PipelineRoot
) -> None:
    exchange.settle(ATTEMPT, GOOD)
    assert left(root) == [f"{ATTEMPT.salt}.json", f"{ATTEMPT.salt}/result.json"]


def test_inputs_are_listed_with_the_digests_of_their_producer(
    exchange: Exchange, root: PipelineRoot
) -> None:
    assert exchange.inputs(ATTEMPT) == []  # never written
    whole = entry("data/x", b"x")
    exchange.declare(PRODUCER, (Entry("data/empty", folder=True), whole))
    with exchange.receiving(PRODUCER, "data/x") as upload:
        upload.write(b"x")
    exchange.settle(PRODUCER, GOOD)
    home = f"{PRODUCER.folder}/data"
    assert [source.entry for source in exchange.inputs(ATTEMPT)] == [
        Entry(home, folder=True),
        Entry(f"{home}/empty", folder=True),
        Entry(f"{home}/x", 1, whole.sha256),
    ]


def test_inputs_of_a_step_that_had_the_volume_have_no_digest(
    exchange: Exchange, root: PipelineRoot
) -> None:
    (root.folder / PRODUCER.folder / "data").write_bytes(b"12345")
    path = f"{PRODUCER.folder}/data"
    assert exchange.inputs(ATTEMPT) == [Source(Entry(path, 5), f"content?path={path}")]


def test_what_is_in_the_workspace_is_not_sent(exchange: Exchange, root: PipelineRoot) -> None:
    (root.folder / PRODUCER.folder / "data").write_bytes(b"12345")
    assert exchange.inputs(ATTEMPT)
    task = read(root, ATTEMPT.input)
    for listed in task["executor_input"]["inputs"]["artifacts"].values():
        for each in listed["artifacts"]:
            each["metadata"] = {IN_WORKSPACE: True}
    (root.folder / ATTEMPT.input).write_text(json.dumps(task))
    assert exchange.inputs(ATTEMPT) == []


def test_an_attempt_reads_its_inputs_and_nothing_else(
    exchange: Exchange, root: PipelineRoot, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    data = root.folder / PRODUCER.folder / "data"
    data.mkdir()
    (data / "x").write_text("x")
    (data / "link").symlink_to(secret)
    (root.folder / PRODUCER.folder / "database").write_text("y")
    home = PRODUCER.folder
    stack, descriptor = exchange.open(ATTEMPT, f"{home}/data/x")
    with stack:
        assert os.read(descriptor, 10) == b"x"
    for path in (
        f"{home}/data",
        f"{home}/data/link",
        f"{home}/data/none",
        f"{home}/database",
        f"{PRODUCER.folder}.json",
        ATTEMPT.input,
    ):
        with pytest.raises(AbsentError):
            exchange.open(ATTEMPT, path)
    for path in (f"{home}/data/../database", "/etc/passwd", "", f"{home}/data//x"):
        with pytest.raises(ManifestError):
            exchange.open(ATTEMPT, path)
    assert [each.entry.path for each in exchange.inputs(ATTEMPT)] == [
        f"{home}/data",
        f"{home}/data/x",
    ]
