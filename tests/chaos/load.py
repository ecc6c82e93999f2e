"""What is asked of the model while its parts are killed, and what was promised in answer."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from pathlib import Path

from tests.chaos.site import Site

from minijuju.errors import JujuError, TimedOutError

CHARM = Path(__file__).parents[1] / "charms" / "witness"
SCALES = {"left": 3, "hub": 4, "right": 3}
RELATIONS = (("left:out", "hub:in"), ("right:out", "hub:in"))


class Load(threading.Thread):
    """Asks one thing after another until told to stop.

    Attributes:
        rounds: the last round that was promised for an application.
        tasks: the ids of the actions and commands that were promised.
        refreshed: how often an application was refreshed, refused requests included.
        asked: how much was asked, refused requests included.
    """

    def __init__(self, site: Site, chance: random.Random) -> None:
        super().__init__(name="load")
        self._site = site
        self._chance = chance
        self._over = threading.Event()
        self._next = 0
        self.rounds: dict[str, int] = dict.fromkeys(SCALES, 0)
        self.tasks: set[int] = set()
        self.refreshed: Counter[str] = Counter()
        self.asked = 0
        self.failure: BaseException | None = None

    def deploy(self) -> None:
        """Make the model."""
        for name, count in SCALES.items():
            self._site.call("deploy", application=name, charm=str(CHARM), num_units=count)
        for ends in RELATIONS:
            self._site.call("integrate", endpoints=list(ends))

    def begin(self) -> Load:
        """Another thread that goes on from here."""
        made = Load(self._site, self._chance)
        made._next, made.rounds, made.tasks = self._next, self.rounds, self.tasks
        made.refreshed = self.refreshed
        made.start()
        return made

    def end(self) -> None:
        """Stop asking."""
        self._over.set()
        self.join()
        if self.failure is not None:
            raise self.failure

    def run(self) -> None:
        """Ask; that nobody is there to answer is no failure."""
        while not self._over.wait(self._chance.uniform(0.1, 0.8)):
            self.asked += 1
            try:
                self._ask()
            except (JujuError, OSError) as error:
                if not _away(error):
                    self.failure = error
                    return

    def _ask(self) -> None:
        name = self._chance.choice(sorted(SCALES))
        match self._chance.choices(
            ("round", "action", "exec", "scale", "relation", "refresh"), (8, 10, 4, 2, 2, 1)
        ):
            case ["round"]:
                self.turn(name)
            case ["action"]:
                self._run(name, "run", action="note")
            case ["exec"]:
                self._run(name, "exec", command=["sh", "-c", "status-get; sleep 0.1"])
            case ["scale"]:
                self._scale(name)
            case ["relation"]:
                self._relate(self._chance.choice(RELATIONS))
            case ["refresh"]:
                # Counted first: what is not acknowledged may have been done all the same.
                self.refreshed[name] += 1
                self._site.call("refresh", application=name, path=str(CHARM))

    def turn(self, name: str) -> None:
        """Have an application tell a new round."""
        self._next += 1
        number = self._next
        self._site.call("config_set", application=name, settings={"round": number})
        self.rounds[name] = number

    def _run(self, name: str, method: str, **words: object) -> None:
        units = [unit for unit in self._site.units() if unit.startswith(f"{name}/")]
        made = self._site.call(
            method, units=[self._chance.choice(units)], background=True, **words
        )
        self.tasks |= {int(task["id"]) for task in made["tasks"].values()}

    def _scale(self, name: str) -> None:
        units = self._site.call("status")["applications"][name]["units"]
        staying = [unit for unit in units.values() if "life" not in unit["juju-status"]]
        if len(staying) <= SCALES[name] - 1:
            self._site.call("add_unit", application=name)
        else:
            self._site.call("remove_unit", application=name, destroy_storage=True)

    def _relate(self, ends: tuple[str, str]) -> None:
        try:
            self._site.call("remove_relation", endpoints=list(ends))
        except JujuError as error:
            if _away(error):
                raise
            time.sleep(0.2)
        self.restore(ends)

    def restore(self, ends: tuple[str, str]) -> bool:
        """Relate two applications, unless they are or an old relation is still going."""
        try:
            self._site.call("integrate", endpoints=list(ends))
        except JujuError as error:
            if _away(error):
                raise
            return "already exists" in str(error)
        return True


def _away(error: Exception) -> bool:
    """Whether the controller was not there or stopped, or went away before it answered."""
    text = str(error)
    return (
        isinstance(error, OSError | TimedOutError)
        or "went away" in text
        or "no controller" in text
    )
