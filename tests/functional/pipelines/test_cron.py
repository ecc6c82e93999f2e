"""What `cron` makes of an expression is what KFP's own library makes of it, built from its pinned
module: the table that the unit tests go by, and expressions drawn at random."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml

from toolkit_pipelines import cron

from ..judges import Ask, judge

TABLE = Path(__file__).parents[2] / "unit" / "pipelines" / "cron.yaml"
FIELDS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
NAMES = {4: ["jan", "Feb", "DEC"], 5: ["sun", "Wed", "SAT"]}


@pytest.fixture(scope="module")
def ask() -> Ask:
    """Put questions to the library; its answers are in the same order."""
    return judge(Path(__file__).parent / "judge", "cronjudge")


def instants(expression: str, moment: int, count: int) -> list[int]:
    """The first instants after one, as ours has them; an interval's are not asked for."""
    found = cron.parse(expression)
    assert isinstance(found, cron.Cron)
    listed: list[int] = []
    following: int | None = moment
    while len(listed) < count and following is not None:
        following = found.after(following)
        if following is not None:
            listed.append(following)
    return listed


def test_the_table(ask: Ask) -> None:
    table = yaml.safe_load(TABLE.read_text())
    refused = ask([{"expression": each} for each in table["refused"]])
    assert [each["error"] != "" for each in refused] == [True] * len(refused), refused
    questions = [
        {"expression": expression, "from": table["from"], "count": len(expected)}
        for expression, expected in table["comes"].items()
    ]
    answers = ask(questions)
    assert [each["instants"] for each in answers] == list(table["comes"].values())
    never = ask([{"expression": each, "count": 1} for each in table["never"]])
    assert [(each["error"], each["instants"]) for each in never] == [("", [])] * len(never)


def drawn(source: random.Random) -> str:
    """An expression; one in a dozen or so is none."""
    words = [_word(source, number) for number in range(6)]
    if source.random() < 0.1:
        words.pop()
    return " ".join(words)


def _word(source: random.Random, number: int) -> str:
    low, high = FIELDS[number]

    def one() -> str:
        if number in NAMES and source.random() < 0.2:
            return source.choice(NAMES[number])
        return str(source.randint(low, high))

    def part() -> str:
        kind = source.random()
        if kind < 0.4:
            return source.choice(["*", "?"])
        if kind < 0.6:
            return one()
        if kind < 0.75:
            return f"{source.choice(['*', one()])}/{source.randint(1, 40)}"
        first, last = sorted((source.randint(low, high), source.randint(low, high)))
        if source.random() < 0.02:
            last += 40
        step = f"/{source.randint(0, 9)}" if source.random() < 0.3 else ""
        return f"{first}-{last}{step}"

    return ",".join(part() for _ in range(source.choice([1, 1, 1, 2, 3])))


def test_drawn_expressions(ask: Ask) -> None:
    source = random.Random(20)
    questions = [
        {
            "expression": drawn(source),
            "from": source.randint(0, 2**32),
            "count": 5,
        }
        for _ in range(4000)
    ]
    agreed = refused = 0
    for question, answer in zip(questions, ask(questions), strict=True):
        expression = question["expression"]
        assert isinstance(expression, str)
        assert isinstance(question["from"], int)
        if answer["error"]:
            with pytest.raises(cron.CronError):
                cron.parse(expression)
            refused += 1
            continue
        if len(answer["instants"]) < 5:
            # It looks five years ahead, ours further: a 29 February, or a day that never comes.
            continue
        assert instants(expression, question["from"], 5) == answer["instants"], question
        agreed += 1
    assert agreed > 2000
    assert refused > 50


def test_intervals(ask: Ask) -> None:
    written = ["1s", "1h30m", "1.5h", "300ms", "2h45m30s", "1500ms", "1us", ".5m", "36h"]
    answers = ask([{"expression": f"@every {each}", "from": 1000, "count": 1} for each in written])
    assert [each["instants"][0] - 1000 for each in answers] == [
        cron.duration(each) for each in written
    ]
