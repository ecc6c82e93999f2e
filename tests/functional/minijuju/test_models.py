"""Two models of one controller: offers, a secret that goes across, suspension, bundles."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jubilant
import pytest

ANY = Path(__file__).parents[2] / "charms" / "any"
PATIENCE = 180


@pytest.fixture(scope="module", autouse=True)
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A controller of its own with `juju` first on PATH; all that it runs ends with it."""

    def cli(*argv: str) -> str:
        command = [sys.executable, "-m", "minijuju", *argv]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=PATIENCE
        ).stdout

    data = tmp_path_factory.mktemp("minijuju")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIJUJU_DATA", str(data))
        for name in ("JUJU_MODEL", "MINIJUJU_KUBECONFIG"):
            patch.delenv(name, raising=False)
        patch.setenv("PATH", cli("shim-path").strip(), prepend=":")
        try:
            yield data
        finally:
            cli("shutdown")


@pytest.fixture(scope="module")
def models(controller: Path) -> Iterator[tuple[jubilant.Juju, jubilant.Juju]]:
    """A model that offers `out` of `giver`, and one where a bundle consumes it for `taker`."""
    with jubilant.temp_model() as here, jubilant.temp_model() as there:
        for juju in (here, there):
            juju.wait_timeout = PATIENCE
        here.deploy(ANY, "giver")
        here.wait(settled, error=jubilant.any_error)
        here.offer(f"{here.model}.giver", endpoint="out", name="gifts")
        bundle = controller / "bundle.yaml"
        bundle.write_text(
            f"saas: {{gifts: {{url: admin/{here.model}.gifts}}}}\n"
            f"applications: {{taker: {{charm: {ANY}, scale: 1}}}}\n"
            "relations: [[taker:in, gifts:out]]\n"
        )
        there.deploy(bundle)
        there.wait(settled, error=jubilant.any_error)
        yield here, there


def settled(status: jubilant.Status) -> bool:
    return jubilant.all_active(status) and jubilant.all_agents_idle(status)


def test_a_secret_goes_across(models: tuple[jubilant.Juju, jubilant.Juju]) -> None:
    here, there = models
    here.wait(settled)
    found = there.run("taker/0", "password")
    assert found.results["length"] == str(len("correct horse"))


def test_the_bundle_says_so_again(models: tuple[jubilant.Juju, jubilant.Juju]) -> None:
    _, there = models
    status = there.status()
    assert status.app_endpoints["gifts"].relations == {"out": ["taker"]}
    exported = there.cli("export-bundle")
    assert "gifts:out" in exported
    assert "url: admin/" in exported


def test_a_relation_is_suspended_and_resumed(
    models: tuple[jubilant.Juju, jubilant.Juju],
) -> None:
    here, there = models
    command = "relation-ids in --format=json"
    assert there.exec(command, unit="taker/0").stdout.strip() != "[]"
    number = here.cli("offers").split("gifts")[1].split()[1]
    here.cli("suspend-relation", number, "--message", "for a while")

    def related() -> bool:
        return there.exec(command, unit="taker/0").stdout.strip() != "[]"

    there.wait(lambda status: settled(status) and not related())
    here.wait(lambda _: "suspended" in here.cli("offers"))
    here.cli("resume-relation", number)
    there.wait(lambda status: settled(status) and related())
