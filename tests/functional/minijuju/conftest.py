"""A site for tests of faults: a controller with one model, ended with all that it ran."""

import pytest

from ...chaos.site import MODEL, Site


@pytest.fixture
def faulty(tmp_path):
    """A site whose controller is started by the test, with the failures that it wants."""
    site = Site(tmp_path / "data", start=False)

    def start(**failures):
        site.start(**failures)
        if not site.call("models")["models"]:
            config = {"hook-retry-base": "200ms", "hook-retry-max": "1s"}
            site.call("add_model", name=MODEL, config=config)
        return site

    yield start
    if not site.lives():
        site.start()
    site.call("shutdown")
    site.end()
    assert site.processes() == []
