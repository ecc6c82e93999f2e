"""The step image is a Python with KFP's executor, uv, and the launcher that pods mount from it."""

from __future__ import annotations

import json

LAUNCHER = "/opt/venv/share/toolkit-launcher"
# KFP's own variable: of the SDK, what runs components alone.
PROGRAM = """
import os, sys
os.environ["_KFP_RUNTIME"] = "true"
from kfp.dsl import executor
print(sys.prefix, executor.Executor.__name__)
"""
COMPONENT = """
from kfp.dsl import *

def add(a: int, b: int) -> int:
    return a + b
"""


def test_without_a_command_it_is_a_python_that_has_kfps_executor(run):
    assert run("step", program=PROGRAM) == (0, "/opt/venv Executor\n")


def test_it_brings_uv_for_the_packages_that_steps_ask_for(run):
    code, printed = run("step", "/opt/venv/bin/uv", "--version")
    assert code == 0
    assert printed.startswith("uv 0.")


def test_the_launcher_runs_a_step_and_records_its_output(run, shared):
    (shared / "attempt").mkdir()
    (shared / "component.py").write_text(COMPONENT)
    task = {
        "version": "1",
        "folder": "/work/attempt",
        "executor_input": {
            "inputs": {"parameterValues": {"a": 40, "b": 2}, "artifacts": {}},
            "outputs": {
                "parameters": {"Output": {"outputFile": "/work/attempt/Output"}},
                "artifacts": {},
                "outputFile": "/work/attempt/executor_output.json",
            },
        },
        "output_types": {"Output": "NUMBER_INTEGER"},
        "command": [
            *("python3", "-m", "kfp.dsl.executor_main"),
            *("--component_module_path", "/work/component.py"),
            *("--executor_input", "{{$}}", "--function_to_execute", "add"),
        ],
        "constants": {".pipeline_job_uuid": "the-run"},
        "written_inputs": [],
        "environment": None,
    }
    (shared / "input.json").write_text(json.dumps(task))
    code, printed = run("step", "python3", LAUNCHER, "run", "/work/input.json")
    assert code == 0, printed
    result = json.loads((shared / "attempt" / "result.json").read_text())
    assert result["parameters"] == {"Output": 42}
    assert (result["exit_code"], result["message"]) == (0, "")
