import re
from pathlib import Path

import pytest

from toolkit_cli import main

ROOT = Path(__file__).parents[3]


def verbs():
    (action,) = [a for a in main.parser()._actions if a.metavar == "VERB"]
    return dict(action.choices)


@pytest.mark.parametrize("verb", sorted(verbs()))
def test_every_verb_has_help_with_an_example(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main.main([verb, "--help"])
    assert ended.value.code == 0
    assert (
        f"example: {'eval' if verb == 'env' else './toolkit ' + verb}" in capsys.readouterr().out
    )


def test_an_unknown_verb_is_refused_with_what_exists(capsys):
    with pytest.raises(SystemExit) as ended:
        main.main(["explode"])
    assert ended.value.code == 2
    assert "doctor" in capsys.readouterr().err


def test_an_architecture_without_a_base_is_refused(capsys):
    assert main.main(["pack", "--arch", "arm64"]) == 1
    assert "--arch goes with --base" in capsys.readouterr().err


def test_an_unknown_base_is_refused_with_the_known_ones(capsys):
    assert main.main(["pack", "--base", "ubuntu@18.04"]) == 1
    assert "ubuntu@24.04" in capsys.readouterr().err


def test_the_readme_names_every_verb_and_no_other():
    readme = (ROOT / "README.md").read_text()
    table = readme.split("| command | what it does |")[1].split("`--json`")[0]
    named = set()
    for row in re.findall(r"^\| (.+?) \|", table, re.MULTILINE):
        named |= {code.split()[0] for code in re.findall(r"`([a-z][^`]*)`", row)}
    assert named == set(verbs())
