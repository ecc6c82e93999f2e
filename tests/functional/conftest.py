"""What functional tests share: tools that are built once, and one deployment of the bundle."""

import pytest

from minijuju import pebble

from .deployment import Bundle


@pytest.fixture(scope="session")
def pebble_binary():
    """A real Pebble, of PATH or of the store; built there if need be."""
    return pebble.ensure()


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """The bundle, deployed once for all tests on data folders of its own; down at the end.

    A test that stops or harms a part of it brings it back to active.
    """
    made = Bundle(tmp_path_factory.mktemp("t"))
    made.prepare()
    try:
        made.toolkit("up", "--json")
        yield made
    finally:
        made.toolkit("down", check=False)
