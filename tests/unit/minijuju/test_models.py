"""Models and their configuration."""

import pytest

from minijuju import models
from minijuju.errors import AlreadyExistsError, BadRequestError, NotFoundError
from minijuju.state import State


@pytest.fixture
def state(tmp_path):
    state = State(tmp_path / "state.db")
    yield state
    state.close()


def test_names(state):
    made = models.add(state, "dev", {})
    for name in ("dev", "admin/dev", "minijuju:admin/dev", made.uuid):
        assert models.named(state, name).uuid == made.uuid
    with pytest.raises(NotFoundError):
        models.named(state, "other")
    with pytest.raises(AlreadyExistsError):
        models.add(state, "dev", {})


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a b", "../a", "a\0", "a" * 64, "a.b"])
def test_bad_names(state, name):
    with pytest.raises(BadRequestError):
        models.add(state, name, {})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300), ("1h30m", 5400), ("500ms", 0.5), ("1.5s", 1.5), ("336h", 336 * 3600)],
)
def test_durations(text, seconds):
    assert models.duration(text, "x") == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "-1s", "0s", "5m ", "1s2", "1y"])
def test_bad_durations(text):
    with pytest.raises(BadRequestError, match="x: expected a duration"):
        models.duration(text, "x")


def test_config(state):
    model = models.add(state, "dev", {"update-status-hook-interval": "1m"})
    assert model.seconds("update-status-hook-interval") == 60
    models.set_config(state, model, {"automatically-retry-hooks": "false"}, [])
    model = models.named(state, "dev")
    assert model.setting("automatically-retry-hooks") is False
    models.set_config(state, model, {}, ["update-status-hook-interval"])
    assert models.named(state, "dev").seconds("update-status-hook-interval") == 300


@pytest.mark.parametrize(
    "config",
    [
        {"No Sense": "1"},
        {"update-status-hook-interval": "soon"},
        {"automatically-retry-hooks": "perhaps"},
        {"type": "iaas"},
        {"logging-config": ["x"]},
    ],
)
def test_bad_config(state, config):
    with pytest.raises(BadRequestError):
        models.add(state, "dev", config)
    assert models.every(state) == []


def test_a_models_units_share_the_machines_network_unless_it_says_otherwise(state):
    model = models.add(state, "dev", {})
    assert not model.isolated
    models.set_config(state, model, {"unit-network": "isolated"}, [])
    assert models.named(state, "dev").isolated
    with pytest.raises(BadRequestError, match="unit-network: expected shared or isolated"):
        models.set_config(state, model, {"unit-network": "private"}, [])


def test_how_many_processes_a_unit_may_have(state):
    model = models.add(state, "dev", {})
    assert model.processes == 4096
    models.set_config(state, model, {"unit-processes": 500}, [])
    assert models.named(state, "dev").processes == 500
    for value in ("63", "many", "-1", "1e4"):
        with pytest.raises(BadRequestError, match="unit-processes: expected a number of at least"):
            models.set_config(state, model, {"unit-processes": value}, [])
