"""The launcher without a volume, as a process, against the service's own routes on a socket."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from toolkit_launcher import content

from .endpoint import PATIENCE, Endpoint, Wire
from .test_launcher import INTERPRETERS, LAUNCHER

BIG = bytes(range(256)) * 4096 * 3  # 3 MiB


@pytest.fixture
def endpoint(tmp_path: Path) -> Endpoint:
    return Endpoint(tmp_path)


@pytest.fixture
def wire(endpoint: Endpoint) -> Iterator[Wire]:
    with endpoint.serving() as wire:
        yield wire


def launch(endpoint: Endpoint, wire: Wire, python: str = sys.executable) -> tuple[int, str]:
    done = subprocess.run(
        [python, str(LAUNCHER), "remote", wire.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "TOOLKIT_STEP_TOKEN": endpoint.token,
        },
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout


def run(endpoint: Endpoint, wire: Wire, *command: str, **options: Any) -> tuple[int, str]:
    endpoint.task["command"] = list(command)
    endpoint.prepare()
    return launch(endpoint, wire, **options)


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def result(endpoint: Endpoint) -> Any:
    return json.loads(endpoint.delivered("result.json").read_text())


@pytest.mark.parametrize("python", INTERPRETERS)
def test_inputs_come_and_outputs_go(endpoint: Endpoint, wire: Wire, python: str) -> None:
    source = endpoint.input("data")
    (source / "a" / "empty").mkdir(parents=True)
    (source / "a" / "x y").write_bytes(BIG)
    target = endpoint.output("model")
    place = f"{endpoint.place}/p/run/load/{'0' * 16}/data"
    script = f"mkdir {target} && cp -r {place}/. {target} && env > {target}/env && echo done"
    code, text = run(endpoint, wire, *shell(script), python=python)
    assert (code, text) == (0, "done\n")
    found = endpoint.delivered("model")
    assert (found / "a" / "x y").read_bytes() == BIG
    assert (found / "a" / "empty").is_dir()
    assert endpoint.token not in (found / "env").read_text()
    assert "TOOLKIT" not in (found / "env").read_text()
    (model,) = result(endpoint)["artifacts"]["model"]
    assert model["uri"] == target
    # As a step with the volume would have recorded it.
    assert model["digest"] == content.digest(str(found))


def test_an_attempt_runs_once(endpoint: Endpoint, wire: Wire) -> None:
    assert run(endpoint, wire, "true")[0] == 0
    (endpoint.delivered("result.json")).unlink()
    code, text = run(endpoint, wire, "true")
    assert code == 125
    assert "does not run twice" in text


def test_a_token_that_is_refused_ends_it_at_once(endpoint: Endpoint, wire: Wire) -> None:
    endpoint.token = endpoint.token[:-1]
    code, text = run(endpoint, wire, "true")
    assert code == 125
    assert "401" in text
    assert endpoint.token not in text


@pytest.mark.parametrize("cut", [10, 100_000, 1_500_000])
def test_a_download_that_is_cut_goes_on(endpoint: Endpoint, wire: Wire, cut: int) -> None:
    endpoint.input("data").write_bytes(BIG)
    target = endpoint.output("copy")
    # The claim and the list of inputs get through.
    wire.cuts = [(None, None), (None, None), (None, cut), (None, cut)]
    script = f"cp {endpoint.place}/p/run/load/{'0' * 16}/data {target}"
    code, text = run(endpoint, wire, *shell(script))
    assert code == 0, text
    assert endpoint.delivered("copy").read_bytes() == BIG
    assert endpoint.asked.count("GET content") == 3


@pytest.mark.parametrize("cut", [10, 100_000, 1_500_000])
def test_an_upload_that_is_cut_is_sent_again(endpoint: Endpoint, wire: Wire, cut: int) -> None:
    target = endpoint.output("out")
    wire.cuts = [(None, None)] * 3 + [(cut, None), (cut, None)]
    script = f"head -c 3000000 /dev/zero > {target}"
    code, text = run(endpoint, wire, *shell(script))
    assert code == 0, text
    assert endpoint.delivered("out").read_bytes() == bytes(3_000_000)


@pytest.mark.parametrize("number", range(5))
def test_an_answer_that_is_lost_is_asked_for_again(
    endpoint: Endpoint, wire: Wire, number: int
) -> None:
    target = endpoint.output("out")
    # All of the request arrives, and nothing comes back: claim, inputs, outputs, content, result.
    wire.cuts = [*[(None, None)] * number, (None, 0)]
    code, text = run(endpoint, wire, *shell(f"echo hello > {target}"))
    assert code == 0, text
    assert endpoint.delivered("out").read_text() == "hello\n"
    assert result(endpoint)["exit_code"] == 0


def test_a_byte_that_was_changed_on_the_way_is_noticed(endpoint: Endpoint, wire: Wire) -> None:
    target = endpoint.output("out")
    wire.corrupt = 1_000_000
    code, text = run(endpoint, wire, *shell(f"head -c 3000000 /dev/zero > {target}"))
    assert code == 0, text
    assert wire.corrupt is None
    assert endpoint.asked.count("PUT content") == 2
    assert endpoint.delivered("out").read_bytes() == bytes(3_000_000)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 507])
@pytest.mark.parametrize(
    "call",
    ["POST claim", "GET inputs", "GET content", "POST outputs", "PUT content", "PUT result"],
)
def test_a_service_in_trouble_is_asked_again(
    endpoint: Endpoint, wire: Wire, call: str, status: int
) -> None:
    method, path = call.split()
    endpoint.input("data").write_bytes(b"data")
    target = endpoint.output("out")
    endpoint.answers = [(method, path, status)] * 2
    code, text = run(endpoint, wire, *shell(f"echo hello > {target}"))
    assert code == 0, text
    assert endpoint.asked.count(call) == 3
    assert endpoint.delivered("out").read_text() == "hello\n"


def test_an_input_that_is_not_what_its_producer_made_fails_the_step(
    endpoint: Endpoint, wire: Wire
) -> None:
    source = endpoint.input("data")
    source.write_bytes(b"other")
    entry = {
        "path": "data",
        "size": 5,
        "sha256": hashlib.sha256(b"right").hexdigest(),
        "md5": "",
        "folder": False,
    }
    listed = {"version": "1", "store": "volume", "files": [entry]}
    (source.parent.parent / f"{source.parent.name}.files.json").write_text(json.dumps(listed))
    code, text = run(endpoint, wire, "true")
    assert code == 1
    assert "SHA-256" in text
    assert "an input cannot be fetched" in result(endpoint)["message"]
    assert not list(endpoint.place.rglob("data*"))


def test_an_input_that_is_refused_fails_the_step(endpoint: Endpoint, wire: Wire) -> None:
    endpoint.input("data").write_bytes(b"data")
    endpoint.answers = [("GET", "content", 404)]
    assert run(endpoint, wire, "true")[0] == 1
    assert "404: on purpose" in result(endpoint)["message"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("ln -s nowhere {}", "is a link to nothing"),
        ("mkdir {0} && ln -s . {0}/self", "is a link to a folder that holds it"),
        ("mkdir {0} && mkfifo {0}/pipe", "is neither a file nor a folder"),
        ("mkdir {0} && cd {0} && touch \"$(printf 'bad\\377')\"", "cannot be delivered"),
    ],
)
def test_an_output_that_cannot_be_delivered_fails_the_step(
    endpoint: Endpoint, wire: Wire, script: str, message: str
) -> None:
    target = endpoint.output("out")
    code, text = run(endpoint, wire, *shell(script.format(shlex.quote(target))))
    assert code == 1, text
    assert message in result(endpoint)["message"]
    assert not endpoint.delivered("out").exists()


def test_a_link_gives_what_it_leads_to(endpoint: Endpoint, wire: Wire) -> None:
    target = endpoint.output("out")
    code, text = run(
        endpoint, wire, *shell(f"echo hello > {target}.real; ln -s out.real {target}")
    )
    assert code == 0, text
    assert endpoint.delivered("out").read_text() == "hello\n"
    assert not endpoint.delivered("out").is_symlink()
    (out,) = result(endpoint)["artifacts"]["out"]
    assert out["digest"] == content.digest(str(endpoint.delivered("out")))


def test_a_command_that_fails_sends_its_record_alone(endpoint: Endpoint, wire: Wire) -> None:
    target = endpoint.output("out")
    code, _ = run(endpoint, wire, *shell(f"echo half > {target}; exit 7"))
    assert code == 7
    assert result(endpoint)["message"] == "the command ended with exit code 7"
    assert endpoint.asked == ["POST claim", "GET inputs", "PUT result"]
    assert not endpoint.delivered("out").exists()


def test_an_output_that_was_not_written_is_absent(endpoint: Endpoint, wire: Wire) -> None:
    endpoint.output("out")
    assert run(endpoint, wire, "true")[0] == 0
    assert "POST outputs" not in endpoint.asked
    assert result(endpoint)["artifacts"]["out"][0]["digest"] == "none"
    assert result(endpoint)["packages"] == []


def test_packages_are_installed_first(endpoint: Endpoint, wire: Wire, tmp_path: Path) -> None:
    site = tmp_path / "site"
    uv = tmp_path / "uv"
    about = f"{site}/some-1.5.dist-info"
    named = f"printf 'Metadata-Version: 2.1\\nName: some\\nVersion: 1.5\\n' > {about}/METADATA"
    uv.write_text(f'#!/bin/sh\necho "$SOME $@" >> {tmp_path}/calls\nmkdir -p {about}\n{named}\n')
    uv.chmod(0o755)
    group = {"requirements": ["some"], "no_deps": False, "options": [], "fallback": []}
    env = {"SOME": "index", "TOOLKIT_UV": str(uv)}
    endpoint.task["install"] = {"target": str(site), "groups": [group], "env": env}
    endpoint.task["environment"] = str(site)
    code, text = run(endpoint, wire, *shell('echo "$PYTHONPATH $SOME"'))
    assert code == 0, text
    # What uv is told is not for the user's command.
    assert text.endswith(f"{site} \n")
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [line.split()[0] for line in calls] == ["index", "index"]
    assert f"--target {site}" in calls[1]
    assert "some==1.5" in result(endpoint)["packages"]
