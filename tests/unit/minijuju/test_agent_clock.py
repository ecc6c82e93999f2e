import pytest

from minijuju.agent_clock import Clock
from minijuju.models import Model
from minijuju.uniter import Hook, Life, Local, Pending, Step

FAILED = Local(pending=Pending(Hook("start"), Step.FAILED, 1))
IDLE = Local(started=True)


def model(**config):
    return Model("uuid", "m", Life.ALIVE, config, 0.0, destroy_storage=False)


@pytest.fixture
def now(monkeypatch):
    """The moment, in both clocks; no jitter."""
    moment = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: moment[0])
    monkeypatch.setattr("time.time", lambda: moment[0])
    monkeypatch.setattr("random.uniform", lambda low, high: 1.0)
    return moment


def test_a_failed_hook_waits_twice_as_long_each_time(now):
    clock, wishes = Clock(), model(**{"hook-retry-base": "5s", "hook-retry-max": "1m"})
    assert clock.retry_due(wishes)
    for attempts, wait in ((1, 5), (2, 10), (4, 40), (5, 60), (99, 60)):
        clock.fail(wishes, attempts)
        assert not clock.retry_due(wishes)
        assert clock.patience(wishes, FAILED, None) == wait
        now[0] += wait
        assert clock.retry_due(wishes)
    clock.fail(wishes, 1)
    clock.forget_failure()
    assert clock.retry_due(wishes)


def test_without_automatic_retries_a_failed_hook_waits_for_the_user(now):
    clock, wishes = Clock(), model(**{"automatically-retry-hooks": False})
    assert not clock.retry_due(wishes)
    assert clock.patience(wishes, FAILED, None) == 3600


def test_update_status_is_due_after_an_interval(now):
    clock, wishes = Clock(), model(**{"update-status-hook-interval": "5m"})
    assert not clock.update_due(wishes)
    assert clock.patience(wishes, IDLE, None) == 300
    now[0] += 300
    assert clock.update_due(wishes)
    clock.restart_updates()
    assert not clock.update_due(wishes)
    # Before its start a unit hears of no update-status.
    assert clock.patience(wishes, Local(), None) == 3600


def test_what_the_wall_clock_brings_is_looked_at_again_each_minute(now):
    clock, wishes = Clock(), model()
    for due, wait in ((1030.0, 30), (9000.0, 60), (5.0, 0.01)):
        assert clock.patience(wishes, Local(), due) == wait


async def test_a_failing_hook_is_retried(world):
    tries = []

    def install(run):
        tries.append(run)
        return 1 if len(tries) < 3 else 0

    world.on("app", "install", install)
    await world.deploy()
    await world.settle()
    assert world.hooks("app/0") == ["install"] * 3 + world.SETUP[1:]


async def test_update_status(world):
    await world.call(
        "model_config", model="m", set={"update-status-hook-interval": "50ms"}, reset=[]
    )
    await world.deploy()
    await world.until(lambda: world.hooks("app/0").count("update-status") >= 2)
    assert world.hooks("app/0")[:4] == world.SETUP
