import io
import json

import pytest

from toolkit_cli.progress import JsonReporter, PlainReporter, task


def test_plain_tells_each_new_text_once():
    stream = io.StringIO()
    report = PlainReporter(stream)
    report.begin("image")
    report.note("image", "resolving")
    report.note("image", "resolving")
    report.note("image", "installing")
    report.end("image", "ready")
    lines = [line.partition("] ")[2] for line in stream.getvalue().splitlines()]
    assert lines == ["image: resolving", "image: installing", "image: done ready"]


def test_json_is_one_object_a_line():
    stream = io.StringIO()
    report = JsonReporter(stream)
    with task(report, "charm") as said:
        report.note("charm", "writing")
        said.append("3 MB")
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(e["event"], e["text"]) for e in events] == [
        ("begin", ""), ("note", "writing"), ("done", "3 MB"),
    ]  # fmt: skip
    assert all(e["task"] == "charm" and e["seconds"] >= 0 for e in events)


def test_a_failed_task_is_told_and_the_error_passes_on():
    stream = io.StringIO()
    report = PlainReporter(stream)
    with pytest.raises(ValueError, match="no such thing"), task(report, "deploy"):
        raise ValueError("no such thing\nand more")
    assert stream.getvalue().rstrip().endswith("deploy: FAILED no such thing")


def test_an_interrupt_is_told_by_its_name():
    stream = io.StringIO()
    report = PlainReporter(stream)
    with pytest.raises(KeyboardInterrupt), task(report, "deploy"):
        raise KeyboardInterrupt
    assert "FAILED KeyboardInterrupt" in stream.getvalue()
