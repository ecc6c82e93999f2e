"""What the tests of a whole deployment share."""

import jubilant
import pytest

from ..deployment import MODEL, Bundle


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """kfp.Client keeps a context file in the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def juju(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> jubilant.Juju:
    """The deployment's model, as a user's script has it."""
    for name, value in bundle.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", bundle.run("minijuju", "shim-path").stdout.strip(), prepend=":")
    return jubilant.Juju(model=MODEL)
