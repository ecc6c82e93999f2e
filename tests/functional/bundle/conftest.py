"""What the tests of a whole deployment share."""

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """kfp.Client keeps a context file in the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
