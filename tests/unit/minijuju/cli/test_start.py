"""The command line as a process."""

import gc
import sys

import pytest

from minijuju.cli import start


@pytest.fixture
def collector():
    """The collector as it was, whatever the test leaves."""
    yield
    gc.unfreeze()
    gc.enable()


def test_a_command_runs_with_the_collector_on(monkeypatch, capsys, collector):
    monkeypatch.setattr(sys, "argv", ["minijuju", "help"])
    assert start.main() == 0
    assert "minijuju" in capsys.readouterr().out
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
