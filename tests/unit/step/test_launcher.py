"""The launcher as pods start it: a process, on this interpreter and on the oldest there is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from toolkit_launcher import content

LAUNCHER = Path(__file__).parents[3] / "images" / "step" / "data" / "share" / "toolkit-launcher"
PATIENCE = 30


def _oldest() -> str | None:
    names = [shutil.which("python3.9"), shutil.which("python3.10")]
    names += [str(each) for each in Path.home().glob(".pyenv/versions/3.9.*/bin/python3")]
    for name in filter(None, names):
        # pyenv has names on PATH that lead nowhere.
        if subprocess.run([name, "-c", ""], capture_output=True, check=False).returncode == 0:
            return name
    return None


OLDEST = _oldest()
INTERPRETERS = [
    sys.executable,
    pytest.param(
        OLDEST, marks=pytest.mark.skipif(OLDEST is None, reason="no Python 3.9 or 3.10 here")
    ),
]


class Attempt:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "attempt"
        self.folder.mkdir()
        self.input = folder / "input.json"
        self.task: dict[str, Any] = {
            "version": "1",
            "folder": str(self.folder),
            "executor_input": {
                "inputs": {"parameterValues": {}, "artifacts": {}},
                "outputs": {
                    "parameters": {},
                    "artifacts": {},
                    "outputFile": str(self.folder / "executor_output.json"),
                },
            },
            "output_types": {},
            "command": ["true"],
            "constants": {".pipeline_job_uuid": "the-run"},
            "written_inputs": [],
            "environment": None,
        }

    def outputs(self, **types: str) -> None:
        self.task["output_types"] = types
        self.task["executor_input"]["outputs"]["parameters"] = {
            name: {"outputFile": str(self.folder / name)} for name in types
        }

    def artifact(self, name: str) -> str:
        uri = str(self.folder / name)
        artifact = {"name": name, "type": {}, "uri": uri, "metadata": {"declared": 1}}
        self.task["executor_input"]["outputs"]["artifacts"][name] = {"artifacts": [artifact]}
        return uri

    def start(self, *command: str, python: str = sys.executable) -> subprocess.Popen[str]:
        if command:
            self.task["command"] = list(command)
        self.input.write_text(json.dumps(self.task))
        return subprocess.Popen(
            [python, str(LAUNCHER), "run", str(self.input)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONDONTWRITEBYTECODE": "1",
                "TMPDIR": str(self.input.parent),
            },
        )

    def run(self, *command: str, python: str = sys.executable) -> tuple[int, str]:
        process = self.start(*command, python=python)
        output, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, output

    @property
    def result(self) -> Any:
        return json.loads((self.folder / "result.json").read_text())


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path)


@pytest.mark.parametrize("python", INTERPRETERS)
def test_a_command_runs_and_its_outputs_are_recorded(attempt: Attempt, python: str) -> None:
    attempt.outputs(n="NUMBER_INTEGER", s="STRING", b="BOOLEAN", d="STRUCT", none="STRING")
    attempt.artifact("model")
    script = 'cd "$0"; echo 7 > n; printf " x\\n" > s; echo True > b; echo \'{"a": [1]}\' > d'
    code, output = attempt.run("sh", "-c", script, str(attempt.folder), python=python)
    assert (code, output) == (0, "")
    assert attempt.result["parameters"] == {"n": 7, "s": " x\n", "b": True, "d": {"a": [1]}}
    (model,) = attempt.result["artifacts"]["model"]
    assert (model["metadata"], model["digest"]) == ({"declared": 1}, "none")
    assert (attempt.result["exit_code"], attempt.result["message"]) == (0, "")


@pytest.mark.parametrize("python", INTERPRETERS)
def test_what_artifacts_hold_is_recorded(attempt: Attempt, python: str) -> None:
    for name in ("file", "folder", "pipe", "elsewhere"):
        attempt.artifact(name)
    (elsewhere,) = attempt.task["executor_input"]["outputs"]["artifacts"]["elsewhere"]["artifacts"]
    elsewhere["uri"] = str(attempt.input)
    script = 'cd "$0"; echo a > file; mkdir -p folder/b; echo c > folder/b/d; mkfifo pipe'
    code, output = attempt.run("sh", "-c", script, str(attempt.folder), python=python)
    assert code == 0
    found = {name: each.get("digest") for name, (each,) in attempt.result["artifacts"].items()}
    assert found == {
        "file": content.digest(str(attempt.folder / "file")),
        "folder": content.digest(str(attempt.folder / "folder")),
        "pipe": None,
        "elsewhere": None,
    }
    assert output == (
        f"output artifact 'pipe' has no digest: {attempt.folder}/pipe is neither a file nor a "
        "folder\n"
    )


@pytest.mark.parametrize("python", INTERPRETERS)
def test_an_attempt_runs_once(attempt: Attempt, python: str) -> None:
    counter = attempt.folder / "count"
    command = ("sh", "-c", f"echo x >> {counter}")
    assert attempt.run(*command, python=python)[0] == 0
    code, output = attempt.run(*command, python=python)
    assert code == 125
    assert "does not run twice" in output
    assert counter.read_text() == "x\n"
    assert attempt.result["exit_code"] == 0


def test_the_executors_record_beats_files(attempt: Attempt) -> None:
    attempt.outputs(n="NUMBER_INTEGER")
    record = {"parameterValues": {"n": 1}, "artifacts": {}}
    script = f"cd {attempt.folder}; echo 2 > n; echo '{json.dumps(record)}' > executor_output.json"
    assert attempt.run("sh", "-c", script)[0] == 0
    assert attempt.result["parameters"] == {"n": 1}


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("NUMBER_INTEGER", "seven", "is declared NUMBER_INTEGER"),
        ("STRUCT", "{", "is declared STRUCT"),
        ("BOOLEAN", "maybe", "is declared BOOLEAN"),
    ],
)
def test_a_parameter_file_of_another_type_fails(
    attempt: Attempt, kind: str, text: str, message: str
) -> None:
    attempt.outputs(x=kind)
    code, output = attempt.run("sh", "-c", f"printf %s '{text}' > {attempt.folder}/x")
    assert code == 1
    assert message in output
    assert message in attempt.result["message"]


@pytest.mark.parametrize("content", ["{", "[]", '{"parameterValues": []}', '{"artifacts": 3}'])
def test_a_damaged_executor_record_fails(attempt: Attempt, content: str) -> None:
    path = attempt.folder / "executor_output.json"
    assert attempt.run("sh", "-c", f"printf %s '{content}' > {path}")[0] == 1
    assert "the executor's output" in attempt.result["message"]


def test_exit_codes_and_signals_are_told(attempt: Attempt, tmp_path: Path) -> None:
    assert attempt.run("sh", "-c", "exit 7")[0] == 7
    assert attempt.result["message"] == "the command ended with exit code 7"
    second = tmp_path / "second"
    second.mkdir()
    other = Attempt(second)
    assert other.run("sh", "-c", "kill -9 $$")[0] == 137
    assert "SIGKILL" in other.result["message"]


@pytest.mark.parametrize("python", INTERPRETERS)
def test_sigterm_reaches_the_command(attempt: Attempt, python: str) -> None:
    script = 'trap "echo bye; exit 3" TERM; echo ready; while :; do sleep 0.05; done'
    process = attempt.start("sh", "-c", script, python=python)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=PATIENCE)
    assert output == "bye\n"
    assert process.returncode == 3


def test_placeholders_of_commands(attempt: Attempt) -> None:
    inputs = attempt.task["executor_input"]["inputs"]
    inputs["parameterValues"] = {"n": 3, "d": {"a": 1}, "s": "{{$.inputs.parameters['n']}}"}
    artifact = {"name": "a", "uri": "minio://b/a", "metadata": {"k": "v"}}
    inputs["artifacts"] = {"data": {"artifacts": [artifact]}, "none": {"artifacts": []}}
    words = [
        "n={{$.inputs.parameters['n']}}",
        "{{$.inputs.parameters['d']}}",
        "{{$.inputs.parameters['s']}}",
        "{{$.inputs.artifacts['data'].uri}}",
        "{{$.inputs.artifacts['data'].path}}",
        "{{$.inputs.artifacts['data'].metadata['k']}}",
        "{{$.inputs.artifacts['data']}}",
        "{{$.inputs.artifacts['none'].path}}",
        "{{$.pipeline_job_uuid}}",
        '{"IfPresent": {"InputName": "n", "Then": ["yes", "{{$.inputs.parameters[\'n\']}}"]}}',
        '{"IfPresent": {"InputName": "gone", "Then": ["no"], "Else": "otherwise"}}',
        '{"IfPresent": {"InputName": "gone", "Then": ["no"]}}',
        '{"Concat": ["a", {"Concat": ["b", "{{$.inputs.parameters[\'n\']}}"]}]}',
        '{"not": "a structure"}',
    ]
    code, output = attempt.run("printf", "%s|", *words)
    assert code == 0
    assert output.split("|")[:-1] == [
        "n=3",
        '{"a": 1}',
        # What a value holds is data: it is not resolved again.
        "{{$.inputs.parameters['n']}}",
        "minio://b/a",
        "/minio/b/a",
        "v",
        json.dumps([artifact]),
        "null",
        "the-run",
        "yes",
        "3",
        "otherwise",
        "ab3",
        '{"not": "a structure"}',
    ]


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A folder of installed packages, with a module and a program."""
    site = tmp_path / "site"
    (site / "bin").mkdir(parents=True)
    (site / "wanted.py").write_text("print('imported')")
    tool = site / "bin" / "tool"
    tool.write_text("#!/bin/sh\necho tool")
    tool.chmod(0o755)
    return site


def test_an_environment_is_on_the_commands_paths(attempt: Attempt, environment: Path) -> None:
    attempt.task["environment"] = str(environment)
    code, output = attempt.run("sh", "-c", "tool; python3 -c 'import wanted'")
    assert (code, output) == (0, "tool\nimported\n")


COMPONENT = """
from kfp import dsl

def told() -> str:
    import subprocess
    import sys

    # As a notebook's kernel is started, and `torchrun`.
    for command in ([sys.executable, "-m", "wanted"], ["tool"]):
        subprocess.run(command, check=True)
    return "told"
"""
CALL = (
    'program_path=$(mktemp -d)\n\nprintf "%s" "$0" > "$program_path/ephemeral_component.py"\n'
    "_KFP_RUNTIME=true python3 -m kfp.dsl.executor_main --component_module_path "
    '"$program_path/ephemeral_component.py" "$@"'
)


def test_an_environment_is_on_the_paths_of_what_a_component_starts(
    attempt: Attempt, environment: Path
) -> None:
    attempt.task["environment"] = str(environment)
    attempt.outputs(Output="STRING")
    words = ("--executor_input", "{{$}}", "--function_to_execute", "told")
    code, output = attempt.run("sh", "-ec", CALL, COMPONENT, *words)
    assert code == 0, output
    assert "imported\ntool\n" in output
    assert attempt.result["parameters"] == {"Output": "told"}


LAST_WORDS = """
def told() -> str:
    import atexit
    import ctypes
    import threading

    atexit.register(print, "at exit")
    threading.Timer(0.05, print, ["of a thread"]).start()
    ctypes.CDLL(None).printf(b"of C\\n")
    return "told"
"""


def test_nothing_that_a_component_says_is_lost(attempt: Attempt) -> None:
    attempt.outputs(Output="STRING")
    words = ("--executor_input", "{{$}}", "--function_to_execute", "told")
    code, output = attempt.run("sh", "-ec", CALL, LAST_WORDS, *words)
    assert code == 0, output
    assert output.endswith("\nof a thread\nat exit\nof C\n")


def test_orphans_do_not_confuse_it(attempt: Attempt) -> None:
    began = time.monotonic()
    code, _ = attempt.run("sh", "-c", "(sleep 0.1 &) ; exit 4")
    assert code == 4
    assert time.monotonic() - began < PATIENCE


def test_wrong_arguments_are_a_usage_error() -> None:
    done = subprocess.run(
        [sys.executable, str(LAUNCHER)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "usage" in done.stderr
