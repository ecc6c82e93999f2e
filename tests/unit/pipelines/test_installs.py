"""What a component installs is read from what the SDK compiles, and from nothing else."""

import tomllib
import warnings
from pathlib import Path
from typing import Any

import pytest

from toolkit_pipelines import installs
from toolkit_pipelines.installs import Group

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's imports, and its notes on its default image
    from kfp import dsl

KFP = "kfp==2.17.3"
TYPING = 'typing-extensions>=3.7.4,<5; python_version<"3.9"'


def command_of(**options: Any) -> list[str]:
    @dsl.component(base_image="python:3.11", **options)
    def component(x: int) -> int:
        return x

    spec = component.component_spec.implementation.container
    assert spec is not None
    return list(spec.command or [])


@pytest.mark.parametrize(
    ("options", "groups"),
    [
        ({}, (Group((KFP, TYPING), no_deps=True),)),
        ({"install_kfp_package": False}, ()),
        (
            {"packages_to_install": ["numpy>=1.2,<3", "b @ git+https://x/y@main"]},
            (
                Group(("numpy>=1.2,<3", "b @ git+https://x/y@main")),
                Group((KFP, TYPING), no_deps=True),
            ),
        ),
        (
            {
                "packages_to_install": ["a"],
                "install_kfp_package": False,
                "pip_index_urls": ["https://one/simple", "https://two/simple"],
                "pip_trusted_hosts": ["https://one"],
            },
            (
                Group(
                    ("a",),
                    options=(
                        *("--index-url", "https://one/simple"),
                        *("--extra-index-url", "https://two/simple"),
                        *("--allow-insecure-host", "one"),
                    ),
                ),
            ),
        ),
        ({"packages_to_install": ["kfp==2.9.0"]}, (Group(("kfp==2.9.0",)),)),
    ],
)
def test_what_the_sdk_compiles_is_read(options: Any, groups: Any) -> None:
    command = command_of(**options)
    found = installs.read(command)
    assert found.groups == groups
    assert list(found.command) == (command[3:] if groups else command)
    assert found.command[:2] == ("sh", "-ec")


def test_an_older_executor_is_replaced_by_ours_with_the_older_to_fall_back_on() -> None:
    command = [each.replace(KFP, "kfp==2.9.0") for each in command_of()]
    (group,) = installs.read(command).groups
    assert group.requirements == (KFP, TYPING)
    assert group.fallback == ("kfp==2.9.0", TYPING)


def test_a_newer_executor_is_taken_as_asked() -> None:
    command = [each.replace(KFP, "kfp==2.99.0") for each in command_of()]
    (group,) = installs.read(command).groups
    assert group.requirements == ("kfp==2.99.0", TYPING)


def test_our_executor_is_the_step_images() -> None:
    path = Path(__file__).parents[3] / "images" / "step" / "pyproject.toml"
    wanted = tomllib.loads(path.read_text())["project"]["dependencies"]
    assert f"kfp=={'.'.join(str(part) for part in installs.EXECUTOR)}" in wanted


@pytest.mark.parametrize(
    "change",
    [
        ("'kfp==", "$(reboot) 'kfp=="),
        ("'kfp==", "`reboot` 'kfp=="),
        ("'kfp==", "; reboot; 'kfp=="),
        ("'kfp==", "| tee 'kfp=="),
        ("'kfp==", "--target /usr 'kfp=="),
        ("python3 -m pip install", "python3 -m pip download"),
        ("--quiet", "--quiet > /tmp/x"),
        ('&& "$0" "$@"', '&& echo "$0"'),
        ("--quiet", "--quiet 'unclosed"),
    ],
)
def test_any_other_script_is_left_alone(change: tuple[str, str]) -> None:
    command = [each.replace(*change) for each in command_of()]
    assert command != command_of()
    found = installs.read(command)
    assert found.groups == ()
    assert list(found.command) == command
