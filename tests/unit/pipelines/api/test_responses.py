from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from toolkit_pipelines.api.responses import encoded, encoded_run


@pytest.mark.parametrize("count", [0, 1, 250])
def test_a_run_is_written_with_its_tasks(count: int) -> None:
    details = [{"task_id": str(number), "list": [number]} for number in range(count)]
    found = encoded_run({"run_id": "r", "list": []}, iter(details))
    assert found.isascii()
    assert b"\n" not in found
    assert json.loads(found) == {
        "run_id": "r",
        "list": [],
        "run_details": {"task_details": details},
    }


def test_what_no_json_has_is_written_as_elsewhere() -> None:
    details = [{"a": math.nan, "b": "\ud800"}, {"a": 1.5}]
    found = json.loads(encoded_run({"run_id": "r"}, details))
    assert found["run_details"]["task_details"] == json.loads(encoded(details))


def test_no_task_is_kept_that_is_written() -> None:
    kept: list[int] = []

    class Detail(dict[str, Any]):
        alive = 0

        def __init__(self, number: int) -> None:
            super().__init__(task_id=number)
            Detail.alive += 1
            kept.append(Detail.alive)

        def __del__(self) -> None:
            Detail.alive -= 1

    def details() -> Iterator[dict[str, Any]]:
        for number in range(1000):
            yield Detail(number)

    encoded_run({"run_id": "r"}, details())
    assert max(kept) < 300
