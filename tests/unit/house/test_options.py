"""No option is declared that nobody reads, and none is read that is not declared."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
CHARMS = sorted(path.parent for path in ROOT.glob("charms/*/charmcraft.yaml"))


def declared(charm):
    metadata = yaml.safe_load((charm / "charmcraft.yaml").read_text())
    return metadata.get("config", {}).get("options", {})


def trees(charm):
    for file in sorted((charm / "src").rglob("*.py")):
        yield ast.parse(file.read_text())


def fields(charm):
    """The fields of the charm's `Options` subclass, as option names."""
    for tree in trees(charm):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and any(
                isinstance(base, ast.Name) and base.id == "Options" for base in node.bases
            ):
                for statement in node.body:
                    if isinstance(statement, ast.AnnAssign) and isinstance(
                        statement.target, ast.Name
                    ):
                        yield statement.target.id.replace("_", "-")


def read(charm):
    """The attributes of a variable named `options` that the charm reads, as option names."""
    for tree in trees(charm):
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Load)
                and isinstance(node.value, ast.Name)
                and node.value.id == "options"
            ):
                yield node.attr.replace("_", "-")


def test_there_are_charms():
    assert {charm.name for charm in CHARMS} >= {"metadata", "pipelines"}


@pytest.mark.parametrize("charm", CHARMS, ids=lambda charm: charm.name)
def test_every_option_is_declared_validated_and_read(charm):
    names = set(declared(charm))
    assert names
    assert set(fields(charm)) == names
    assert set(read(charm)) == names


@pytest.mark.parametrize("charm", CHARMS, ids=lambda charm: charm.name)
def test_every_option_says_what_it_does_and_has_a_default(charm):
    for name, option in declared(charm).items():
        assert len(option["description"]) > 20, name
        assert "default" in option, name


@pytest.mark.parametrize("charm", CHARMS, ids=lambda charm: charm.name)
def test_the_readme_shows_every_option_and_action(charm):
    readme = (charm / "README.md").read_text()
    metadata = yaml.safe_load((charm / "charmcraft.yaml").read_text())
    for name in [*declared(charm), *metadata.get("actions", {})]:
        assert f"`{name}`" in readme, name
