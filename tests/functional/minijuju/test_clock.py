"""The wall clock jumps by an hour and back: nothing waits for it, and nothing is lost."""

import pytest

from ...chaos.load import CHARM

ANY = CHARM.parent / "any"


@pytest.mark.parametrize("shift", [3600, -3600])
def test_a_clock_that_jumps_and_comes_back(faulty, tmp_path, shift):
    clock = tmp_path / "clock"

    def shift_by(seconds):
        # In one step: the controller reads it at any moment, and dies of a file that is empty.
        (tmp_path / "next").write_text(str(seconds))
        (tmp_path / "next").replace(clock)

    site = faulty(clock=str(clock))
    site.call("model_config", set={"update-status-hook-interval": "1s"}, reset=[])
    site.call("deploy", application="a", charm=str(ANY))
    site.active("a/0")

    def updates():
        return (site.storage("a/0") / "hooks").read_text().count("update_status")

    def goes_on():
        before = updates()
        site.until(lambda: updates() > before + 1, "update-status does not go on")

    for seconds in (shift, 0, shift, 0):
        shift_by(seconds)
        goes_on()
        # A hook that fails is tried again, and what waits for its turn has it.
        site.call("config_set", application="a", settings={"fail-on": "config_changed"})
        site.until(
            lambda: site.unit("a/0")["workload-status"]["current"] == "error", "it does not fail"
        )
        site.call("config_set", application="a", settings={"fail-on": ""})
        site.active("a/0")
        done = site.call("exec", units=["a/0"], command=["true"])["a/0"]
        assert done["status"] == "completed"
    history = site.call("show_status_log", entity="a/0", limit=1000)
    assert sum(entry["status"] == "error" for entry in history) >= 4
