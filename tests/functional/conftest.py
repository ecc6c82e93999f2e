"""What functional tests share: tools that are built once and kept in `$SANDBOX_STORE`."""

import pytest

from minijuju import pebble


@pytest.fixture(scope="session")
def pebble_binary():
    """A real Pebble, of PATH or of the store; built there if need be."""
    return pebble.ensure()
