"""What the bundle and its overlays say of our charms is what those know."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FILES = [ROOT / "bundle" / "bundle.yaml", *sorted((ROOT / "bundle" / "overlays").glob("*.yaml"))]
CHARMS = {
    file.parent.name: yaml.safe_load(file.read_text())
    for file in ROOT.glob("charms/*/charmcraft.yaml")
}


def test_the_overlays_are_found():
    assert {file.stem for file in FILES} >= {"bundle", "desktop", "gpu", "postgresql"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_names(file):
    data = yaml.safe_load(file.read_text())
    for name, application in data.get("applications", {}).items():
        if name in CHARMS:
            charm = CHARMS[name]
            for part, known in (
                ("options", charm["config"]["options"]),
                ("resources", charm["resources"]),
                ("storage", charm["storage"]),
            ):
                assert set(application.get(part, {})) <= set(known), (name, part)
        else:
            assert application.get("channel"), f"{name} is somebody else's: name its channel"
    for relation in data.get("relations", []):
        for name, _, endpoint in (end.partition(":") for end in relation):
            if name in CHARMS:
                charm = CHARMS[name]
                assert endpoint in {**charm.get("requires", {}), **charm.get("provides", {})}
            else:
                assert name in data["applications"]
