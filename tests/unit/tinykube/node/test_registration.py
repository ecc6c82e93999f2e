from datetime import UTC, datetime, timedelta

import pytest

from tinykube.node import registration

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def node(ready="True", reason="KubeletReady", **capacity):
    return {
        "metadata": {"name": "n", "labels": {"a": "b"}},
        "status": {
            "capacity": capacity,
            "conditions": [{"type": "Ready", "status": ready, "reason": reason}],
        },
    }


@pytest.fixture
def written():
    """A node as it is after its first report."""
    body = node(cpu="1")
    return {**body, "status": registration.status({"metadata": {}}, body, NOW)}


def test_labels_of_others_are_no_business_of_ours():
    current = {"metadata": {"labels": {"a": "x", "mine": "y"}}}
    assert registration.labels(current, node()) == {"a": "b"}
    assert registration.labels({"metadata": {"labels": {"a": "b"}}}, node()) == {}


def test_a_first_report_has_both_times(written):
    (condition,) = written["status"]["conditions"]
    assert condition["lastHeartbeatTime"] == condition["lastTransitionTime"]


def test_nothing_is_written_while_nothing_changed(written):
    assert registration.status(written, node(cpu="1"), NOW + timedelta(minutes=4)) is None


def test_after_five_minutes_it_is_written_anyhow(written):
    later = NOW + timedelta(minutes=5)
    (condition,) = registration.status(written, node(cpu="1"), later)["conditions"]
    assert condition["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert condition["lastHeartbeatTime"] == "2026-01-01T00:05:00Z"


def test_another_capacity_is_written_at_once(written):
    found = registration.status(written, node(cpu="2"), NOW)
    assert found["capacity"] == {"cpu": "2"}


def test_who_was_called_lost_comes_back(written):
    written["status"]["conditions"][0].update(status="Unknown", reason="NodeStatusUnknown")
    later = NOW + timedelta(seconds=50)
    (condition,) = registration.status(written, node(cpu="1"), later)["conditions"]
    assert condition["status"] == "True"
    assert condition["lastTransitionTime"] == "2026-01-01T00:00:50Z"


def test_conditions_of_others_stay(written):
    other = {"type": "NetworkUnavailable", "status": "False"}
    written["status"]["conditions"].append(other)
    found = registration.status(written, node(cpu="2"), NOW)
    assert other in found["conditions"]
