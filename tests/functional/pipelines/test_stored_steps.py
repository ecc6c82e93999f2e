"""The launcher of a step whose files are in an object store: a real one, and a wire that fails."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from toolkit_objects import Location, ObjectStore, ObjectStoreError
from toolkit_objects import store as objects
from toolkit_pipelines import manifest
from toolkit_pipelines.contents import Contents
from toolkit_pipelines.steps import Exchange

from ...unit.step.endpoint import ATTEMPT, PRODUCER, Endpoint, Wire
from ...unit.step.test_launcher import LAUNCHER
from ..objectstore import StoreServer
from ..toolkit_objects.test_store import md5, put

PIECE = 5 * 1024 * 1024
BIG = bytes(range(256)) * (11 * 4096)  # 11 MiB: two parts and the rest


@dataclass
class Bench:
    """One attempt, its service and its store, with a wire before each."""

    endpoint: Endpoint
    service: Wire
    store: Wire
    objects: ObjectStore
    server: StoreServer
    bucket: str

    def run(self, script: str) -> tuple[int, str, int]:
        """Run a step; give its exit code, what it printed, and its peak of memory in KiB."""
        self.endpoint.task["command"] = ["sh", "-c", script]
        self.endpoint.prepare()
        process = subprocess.Popen(
            [sys.executable, str(LAUNCHER), "remote", self.service.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={"PATH": os.environ["PATH"], "TOOLKIT_STEP_TOKEN": self.endpoint.token},
        )
        assert process.stdout is not None
        with process.stdout as output:
            text = output.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return process.returncode, text, usage.ru_maxrss

    def produce(self, name: str, content: bytes) -> str:
        """Make an input of this attempt, in the store; give its path in the step."""
        self.endpoint.input(name)
        task = dict(self.endpoint.task)
        self.endpoint.root.prepare(PRODUCER, task)
        size = len(content)
        strong = hashlib.sha256(content).hexdigest()
        self.server.client().put_object(
            Bucket=self.bucket,
            Key=self.objects.location.key(f"{PRODUCER.folder}/{name}"),
            Body=content,
        )
        listed = {"path": name, "size": size, "sha256": strong, "folder": False}
        kept = {"version": "1", "store": self.objects.uri, "files": [listed]}
        (self.endpoint.folder / f"{PRODUCER.folder}.files.json").write_text(json.dumps(kept))
        return f"{self.endpoint.place}/{PRODUCER.folder}/{name}"

    @property
    def result(self) -> Any:
        return json.loads(self.endpoint.delivered("result.json").read_text())

    def read(self, name: str) -> bytes:
        """Read an output as the service does."""
        uri = f"{self.endpoint.place}/{ATTEMPT.folder}/{name}"
        with Contents(self.endpoint.root, self.objects).opened(uri) as content:
            return b"".join(content.chunks())


@pytest.fixture(scope="module")
def bucket(object_store: StoreServer) -> str:
    return object_store.bucket("stored-steps")


@pytest.fixture
def bench(
    object_store: StoreServer, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    monkeypatch.setattr(objects, "PART", PIECE)
    with Wire(object_store.port) as store:
        url = store.url.removesuffix("/steps/v1")
        location = Location(bucket, tmp_path.name.lower(), url, path_style=True)
        held = ObjectStore(location, object_store.keys)
        endpoint = Endpoint(tmp_path, held)
        endpoint.task["part_size"] = PIECE
        with endpoint.serving() as service:
            yield Bench(endpoint, service, store, held, object_store, bucket)


def kept(bench: Bench) -> dict[str, int]:
    """What this attempt has in the store, by path from its own folder."""
    found = bench.objects.sizes(ATTEMPT.folder)
    return {path.removeprefix(f"{ATTEMPT.folder}/"): size for path, size in found.items()}


def test_inputs_come_from_the_store_and_outputs_go_there(bench: Bench) -> None:
    source = bench.produce("data", BIG)
    target = bench.endpoint.output("model")
    script = f"mkdir -p {target}/empty '{target}/a b' && cp {source} '{target}/a b/é+%25.bin'"
    code, text, _ = bench.run(f"{script} && touch {target}/nothing && env > {target}/env")
    assert (code, text) == (0, "")
    assert set(kept(bench)) == {"model/a b/é+%25.bin", "model/nothing", "model/env"}
    assert kept(bench)["model/a b/é+%25.bin"] == len(BIG)
    assert bench.read("model/a b/é+%25.bin") == BIG
    assert b"TOOLKIT" not in bench.read("model/env")
    assert bench.server.uploads(bench.bucket) == []
    # All of it went to the store and none to the service.
    assert not any("content" in asked for asked in bench.endpoint.asked)
    assert not bench.endpoint.delivered("model").exists()
    uri = f"{bench.endpoint.place}/{ATTEMPT.folder}/model"
    with Contents(bench.endpoint.root, bench.objects).opened(uri) as content:
        assert content.folder
        found = {file.path: b"".join(file.chunks) for file in content.files()}
    assert set(found) == {"a b/é+%25.bin", "nothing", "env"}
    assert found["nothing"] == b""


@pytest.mark.parametrize(("cut", "upwards"), [(1000, True), (3_000_000, True)])
def test_a_sending_that_is_cut_goes_on_with_its_part(
    bench: Bench, cut: int, upwards: bool
) -> None:
    target = bench.endpoint.output("out")
    bench.store.breaks = [(cut, upwards)] * 3
    code, text, _ = bench.run(f"head -c {len(BIG)} /dev/zero > {target}")
    assert code == 0, text
    assert bench.store.breaks == []
    assert bench.read("out") == bytes(len(BIG))


@pytest.mark.parametrize("cut", [300, 100_000, 9_000_000])
def test_a_getting_that_is_cut_goes_on(bench: Bench, cut: int) -> None:
    source = bench.produce("data", BIG)
    target = bench.endpoint.output("out")
    bench.store.breaks = [(cut, False)]
    code, text, _ = bench.run(f"cmp {source} {source} && sha256sum < {source} > {target}")
    assert code == 0, text
    assert bench.store.breaks == []
    assert hashlib.sha256(BIG).hexdigest() in bench.read("out").decode()


def test_what_is_damaged_on_its_way_is_sent_again(bench: Bench) -> None:
    target = bench.endpoint.output("out")
    bench.store.corrupt = 4_000_000
    code, text, _ = bench.run(f"head -c {len(BIG)} /dev/zero > {target}")
    assert code == 0, text
    assert bench.store.corrupt is None
    assert bench.read("out") == bytes(len(BIG))


def test_links_that_have_ended_are_asked_for_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = bench.produce("data", BIG)
    target = bench.endpoint.output("out")
    late: list[str] = []
    made = ObjectStore._link

    def brief(self: ObjectStore, operation: str, given: Any) -> str:
        if operation in late:
            return made(self, operation, given)
        late.append(operation)
        with monkeypatch.context() as patch:
            patch.setattr(self, "_lifetime", 1)
            link = made(self, operation, given)
        time.sleep(3)
        return link

    monkeypatch.setattr(ObjectStore, "_link", brief)
    code, text, _ = bench.run(f"cp {source} {target}")
    assert code == 0, text
    assert {"GET inputs", "GET outputs"} <= set(bench.endpoint.asked)
    assert late == ["get_object", "upload_part"]
    assert bench.read("out") == BIG


def test_an_object_that_is_not_what_its_producer_made_fails_the_step(bench: Bench) -> None:
    bench.produce("data", BIG)
    key = bench.objects.location.key(f"{PRODUCER.folder}/data")
    bench.server.client().put_object(Bucket=bench.bucket, Key=key, Body=b"x" + BIG[1:])
    code, text, _ = bench.run("true")
    assert code == 1
    assert text.count("getting it again") == 2
    message = bench.result["message"]
    assert "an input cannot be fetched" in message
    assert f"{PRODUCER.folder}/data came with {len(BIG)} bytes and SHA-256" in message


def test_an_object_that_is_gone_fails_the_step(bench: Bench) -> None:
    bench.produce("data", b"x")
    bench.objects.remove(PRODUCER.folder)
    code, text, _ = bench.run("true")
    assert code == 1
    message = bench.result["message"]
    assert f"{PRODUCER.folder}/data: GET" in message
    assert "404: NoSuchKey" in message
    assert "X-Amz" not in message + text


def test_a_bucket_that_is_gone_fails_the_step(object_store: StoreServer, tmp_path: Path) -> None:
    location = Location("not-there-any-more", "", object_store.url, path_style=True)
    held = ObjectStore(location, object_store.keys)
    endpoint = Endpoint(tmp_path, held)
    with endpoint.serving() as service:
        bench = Bench(endpoint, service, service, held, object_store, location.bucket)
        target = endpoint.output("out")
        code, text, _ = bench.run(f"echo x > {target}")
    assert code == 1
    assert "an output cannot be delivered: out: PUT http" in bench.result["message"]
    assert "404: NoSuchBucket" in bench.result["message"]
    assert "X-Amz" not in json.dumps(bench.result) + text


def test_a_step_that_fails_leaves_nothing_in_the_store(bench: Bench) -> None:
    target = bench.endpoint.output("out")
    code, _, _ = bench.run(f"echo x > {target}; exit 3")
    assert code == 3
    assert kept(bench) == {}


def test_a_step_that_is_killed_while_it_sends_is_cleaned_up_after(bench: Bench) -> None:
    exchange = bench.endpoint.exchange
    content = b"content"
    digest = hashlib.sha256(content).hexdigest()
    small = {"path": "a", "size": len(content), "sha256": digest, "md5": md5(content)}
    large = {
        "path": "b",
        "size": PIECE + 1,
        "sha256": digest,
        "md5": "",
        "parts": [md5(b"1"), md5(b"2")],
    }
    entries = manifest.parse({"files": [small, large]}, exchange.part_size)
    places = exchange.declare(ATTEMPT, entries)
    # Told again after a lost answer, it goes on with the same upload.
    again = exchange.declare(ATTEMPT, entries)
    assert _upload(places[1]) == _upload(again[1])
    assert put(places[0]["url"], content, places[0]["headers"]).status_code == 200
    assert set(kept(bench)) == {"a"}
    assert len(bench.server.uploads(bench.bucket)) == 1
    exchange.discard(ATTEMPT)
    assert kept(bench) == {}
    assert bench.server.uploads(bench.bucket) == []
    exchange.discard(ATTEMPT)


def _upload(place: dict[str, Any]) -> str:
    (found,) = parse_qs(urlsplit(place["parts"][0]["url"]).query)["uploadId"]
    return found


def test_the_store_being_away_is_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    target = bench.endpoint.output("out")
    tries: list[str] = []
    sizes = ObjectStore.sizes

    def away(self: ObjectStore, below: str) -> dict[str, int]:
        tries.append(below)
        if len(tries) < 3:
            raise ObjectStoreError("it is away", transient=True)
        return sizes(self, below)

    monkeypatch.setattr(ObjectStore, "sizes", away)
    code, text, _ = bench.run(f"echo x > {target}")
    assert code == 0, text
    assert bench.endpoint.asked.count("PUT result") == 3
    assert bench.read("out") == b"x\n"


def test_a_private_authority_is_trusted_by_steps(
    object_store: StoreServer, bucket: str, tmp_path: Path
) -> None:
    location = Location(bucket, "private", object_store.secure_url, path_style=True)
    held = ObjectStore(location, object_store.keys, object_store.authority)
    endpoint = Endpoint(tmp_path, held)
    with endpoint.serving() as service:
        bench = Bench(endpoint, service, service, held, object_store, bucket)
        target = endpoint.output("out")
        code, text, _ = bench.run(f"echo x > {target}")
        assert code == 0, text
        assert bench.read("out") == b"x\n"


def test_a_service_without_the_store_says_where_the_input_is(bench: Bench) -> None:
    bench.produce("data", b"x")
    bench.endpoint.exchange = Exchange(bench.endpoint.root)
    with bench.endpoint.serving() as service:
        bench.service = service
        code, _, _ = bench.run("true")
    assert code == 1
    message = bench.result["message"]
    assert f"it is in {bench.objects.uri}, which this service is not set to use" in message


def test_large_files_are_never_in_memory(bench: Bench) -> None:
    size = 300 * 1024 * 1024
    _, _, plain = bench.run("true")
    bench.endpoint.delivered("result.json").unlink()
    bench.endpoint.delivered(".started").unlink()
    target = bench.endpoint.output("out")
    code, text, peak = bench.run(f"head -c {size} /dev/zero > {target}")
    assert code == 0, text
    assert kept(bench) == {"out": size}
    assert peak - plain < 24 * 1024
    # As the input of another attempt.
    digest = hashlib.sha256()
    for chunk in bench.objects.read(f"{ATTEMPT.folder}/out", size):
        digest.update(chunk)
    assert digest.hexdigest() == hashlib.sha256(bytes(size)).hexdigest()
