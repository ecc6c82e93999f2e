"""No option is declared that nobody reads, and none is read that is not declared."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
CHARMS = sorted(path.parent for path in ROOT.glob("charms/*/charmcraft.yaml"))
LIBRARY = ROOT / "lib" / "toolkit_charm" / "src" / "toolkit_charm"


def shared(module, name):
    tree = ast.parse((LIBRARY / f"{module}.py").read_text())
    return next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name)


# The classes of options that charms share; their methods give what they hold.
SHARED = {
    "ComputeOptions": shared("compute", "ComputeOptions"),
    "PodOptions": shared("pods", "PodOptions"),
}
TEXTS = {"ComputeOptions": LIBRARY / "compute.yaml", "PodOptions": LIBRARY / "pods.yaml"}


def declared(charm):
    metadata = yaml.safe_load((charm / "charmcraft.yaml").read_text())
    return metadata.get("config", {}).get("options", {})


def trees(charm):
    for file in sorted((charm / "src").rglob("*.py")):
        yield ast.parse(file.read_text())


def annotated(node):
    """The fields of a class, as option names."""
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id.replace("_", "-")


def bases(charm):
    """The classes of options that the charm's own derives from, with that class."""
    for tree in trees(charm):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                names = {base.id for base in node.bases if isinstance(base, ast.Name)}
                if names & {"Options", *SHARED}:
                    yield node, names & set(SHARED)


def fields(charm):
    """The fields of the charm's options, as option names."""
    for node, shared in bases(charm):
        yield from annotated(node)
        for name in shared:
            yield from annotated(SHARED[name])


def attributes(tree, variable):
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Load)
            and isinstance(node.value, ast.Name)
            and node.value.id == variable
        ):
            yield node.attr


def read(charm):
    """The options that the charm reads: by name, or by the methods that give those it shares."""
    names = {name for tree in trees(charm) for name in attributes(tree, "options")}
    for node in SHARED.values():
        for each in node.body:
            if isinstance(each, ast.FunctionDef) and each.name in names:
                names.remove(each.name)
                names |= set(attributes(each, "self"))
    return {name.replace("_", "-") for name in names}


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
        # A secret has none: it is named once there is one.
        assert "default" in option or option["type"] == "secret", name


@pytest.mark.parametrize("charm", CHARMS, ids=lambda charm: charm.name)
def test_the_readme_shows_every_option_and_action(charm):
    readme = (charm / "README.md").read_text()
    metadata = yaml.safe_load((charm / "charmcraft.yaml").read_text())
    for name in [*declared(charm), *metadata.get("actions", {})]:
        assert f"`{name}`" in readme, name


def test_what_charms_share_has_one_text():
    found = set()
    for charm in CHARMS:
        for _, names in bases(charm):
            for name in names:
                found.add((charm.name, name))
                options = declared(charm)
                for option, wanted in yaml.safe_load(TEXTS[name].read_text()).items():
                    assert options[option] == wanted, f"copy {option} from {TEXTS[name]}"
    assert ("pipelines", "PodOptions") in found


@pytest.mark.parametrize("name", SHARED)
def test_the_text_and_the_class_have_the_same_options(name):
    assert set(yaml.safe_load(TEXTS[name].read_text())) == set(annotated(SHARED[name]))
