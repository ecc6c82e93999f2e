"""What the corpus says of Juju is what Juju's own library says, built from its pinned module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.corpus import cases

from ..judges import Ask, judge


@pytest.fixture(scope="module")
def ask() -> Ask:
    """Put questions to the library; its answers are in the same order."""
    return judge(Path(__file__).parent / "judge", "jujucharm")


def check(judged: list[tuple[cases.Case, dict[str, Any]]]) -> None:
    wrong = []
    for case, answer in judged:
        errors = "\n".join(answer["errors"])
        good = not errors if case.juju == cases.ACCEPTS else case.juju in errors
        if not good or case.ignores not in "\n".join(answer.get("ignored") or []):
            wrong.append(f"{case.name}: expected {case.juju!r}, got {answer}")
    assert not wrong, "\n".join(wrong)


def test_bundles(ask: Ask, tmp_path: Path) -> None:
    questions = []
    for number, case in enumerate(cases.bundles()):
        folder = tmp_path / str(number)
        folder.mkdir()
        files = cases.lay_out_bundle(case, folder)
        questions.append(
            {
                "bundle": str(files.bundle),
                "overlays": [str(path) for path in files.overlays],
                "charms": {name: str(path) for name, path in files.store.items()},
            }
        )
    answers = ask(questions)
    check(list(zip(cases.bundles(), answers, strict=True)))


def test_charms(ask: Ask, tmp_path: Path) -> None:
    questions = []
    for number, case in enumerate(cases.charms()):
        folder = tmp_path / str(number)
        folder.mkdir()
        questions.append({"charm": str(cases.lay_out_charm(case, folder))})
    answers = ask(questions)
    check(list(zip(cases.charms(), answers, strict=True)))
