"""What the tests of the newcomer's commands share."""

from pathlib import Path

import pytest


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kfp.Client keeps a context file in the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
