"""The layer of a server, as Pebble takes it."""

import ops

from toolkit_charm import layers
from toolkit_charm.charm import PATIENCE


def made():
    return ops.pebble.Layer(
        layers.server(
            "web", summary="a server", command="serve", alive="http://h/alive", ready="http://h/r"
        )
    )


def test_one_service_that_its_liveness_restarts():
    (service,) = made().services.values()
    assert (service.name, service.command, service.startup) == ("web", "serve", "enabled")
    assert service.on_check_failure == {"alive": "restart"}


def test_checks_by_level_and_url():
    checks = {check.level: check for check in made().checks.values()}
    assert checks[ops.pebble.CheckLevel.ALIVE].http == {"url": "http://h/alive"}
    assert checks[ops.pebble.CheckLevel.READY].http == {"url": "http://h/r"}


def test_readiness_fails_before_a_charm_stops_waiting():
    """Or nothing tells the charm that what it waited for in vain answers later."""
    ready = made().checks["ready"]
    seconds = [float(text.removesuffix("s")) for text in (ready.period, ready.timeout)]
    assert ready.threshold * sum(seconds) < PATIENCE


def test_what_is_watched_counts_for_nothing_else():
    layer = layers.server(
        "web",
        summary="s",
        command="c",
        alive="http://a",
        ready="http://r",
        watched={"x": "http://x"},
    )
    check = ops.pebble.Layer(layer).checks["x"]
    assert check.level is ops.pebble.CheckLevel.UNSET
    assert check.http == {"url": "http://x"}
    assert check.threshold == 1
