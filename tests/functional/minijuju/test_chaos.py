"""A storm of kills over a model under load for a minute; `python -m tests.chaos` takes longer."""

from ...chaos.harness import Harness


def test_nothing_is_lost_in_a_storm(tmp_path, request):
    warm = request.config.getoption("--hooks") == "warm"
    harness = Harness(tmp_path / "d", seed=1, warm=warm)
    try:
        harness.run(30, storm=20)
    finally:
        harness.stop()
    assert sum(harness.faults.tried.values()) > 3, harness.summary()
