from __future__ import annotations

import pytest

from toolkit_pipelines.steps import StepTokens


def test_a_token_names_its_attempt_and_no_other() -> None:
    tokens = StepTokens(b"key")
    token = tokens.issue("run", "pod-1")
    assert tokens.verify(token) == "run.pod-1"
    assert tokens.issue("run", "pod-1") == token
    assert tokens.issue("run", "pod-2").rpartition(".")[2] != token.rpartition(".")[2]


@pytest.mark.parametrize(
    "change", ["run.pod-2.{}", "other.pod-1.{}", "{}", ".{}", "run.pod-1.{}x"]
)
def test_a_changed_token_is_none(change: str) -> None:
    tokens = StepTokens(b"key")
    signature = tokens.issue("run", "pod-1").rpartition(".")[2]
    assert tokens.verify(change.format(signature)) is None


@pytest.mark.parametrize("text", ["", ".", "run.pod-1.", "run.pod-1.ä", "\udc80"])
def test_what_is_no_token(text: str) -> None:
    assert StepTokens(b"key").verify(text) is None


def test_another_key_makes_other_tokens() -> None:
    assert StepTokens(b"other").verify(StepTokens(b"key").issue("run", "pod")) is None
