import zipfile

import pytest
import yaml

from toolkit_cli import pack as packing
from toolkit_cli.errors import ToolkitError
from toolkit_cli.pack import Target

CHARMCRAFT = """
name: tiny
type: charm
title: Tiny
summary: A tiny charm
description: It does nothing.
base: ubuntu@24.04
platforms: {amd64: , arm64: }
containers: {tiny: {resource: tiny-image}}
resources: {tiny-image: {type: oci-image, description: Any}}
config: {options: {level: {type: string, default: info, description: How much to say}}}
actions: {ping: {description: Answer}}
"""


@pytest.fixture
def charm(tmp_path):
    folder = tmp_path / "tiny"
    (folder / "src").mkdir(parents=True)
    (folder / "charmcraft.yaml").write_text(CHARMCRAFT)
    (folder / "pyproject.toml").write_text('[project]\nname = "tiny"\nversion = "0"\n')
    (folder / "uv.lock").write_text("version = 1\n")
    (folder / "src" / "charm.py").write_text("print('hello')\n")
    return folder


@pytest.fixture
def no_packages(monkeypatch):
    """Leave out what needs an index: one package by hand stands for what uv installs."""

    def install(folder, venv, target):
        site = venv / "lib" / f"python{target.python}" / "site-packages"
        site.mkdir(parents=True)
        (site / "dependency.py").write_text("value = 1\n")

    monkeypatch.setattr(packing, "_install", install)


@pytest.mark.usefixtures("no_packages")
def test_the_layout_is_charmcrafts(charm):
    archive = packing.pack(charm, Target.of_base("ubuntu@24.04", "arm64"))
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
        metadata = yaml.safe_load(opened.read("metadata.yaml"))
        manifest = yaml.safe_load(opened.read("manifest.yaml"))
        config = yaml.safe_load(opened.read("config.yaml"))
        mode = opened.getinfo("dispatch").external_attr >> 16
    assert "venv/lib/python3.12/site-packages/dependency.py" in names
    assert "src/charm.py" in names
    assert metadata["display-name"] == "Tiny"
    assert metadata["containers"] == {"tiny": {"resource": "tiny-image"}}
    assert manifest["bases"] == [
        {"name": "ubuntu", "channel": "24.04", "architectures": ["arm64"]}
    ]
    assert config["options"]["level"]["default"] == "info"
    assert mode & 0o111


@pytest.mark.usefixtures("no_packages")
def test_the_same_input_gives_the_same_bytes(charm):
    target = Target.of_base("ubuntu@24.04", "amd64")
    first = packing.pack(charm, target).read_bytes()
    (charm / "tiny.charm").unlink()
    (charm / "src" / "charm.py").touch()
    assert packing.pack(charm, target).read_bytes() == first


@pytest.mark.usefixtures("no_packages")
def test_an_unchanged_charm_is_not_packed_again(charm):
    said = []
    packing.pack(charm, Target.here(), progress=said.append)
    packing.pack(charm, Target.here(), progress=said.append)
    assert said[-1] == "unchanged"
    (charm / "src" / "charm.py").write_text("print('changed')\n")
    packing.pack(charm, Target.here(), progress=said.append)
    assert said[-1] != "unchanged"


@pytest.mark.usefixtures("no_packages")
def test_another_target_is_packed_anew(charm):
    packing.pack(charm, Target.of_base("ubuntu@24.04", "amd64"))
    said = []
    packing.pack(charm, Target.of_base("ubuntu@24.04", "arm64"), progress=said.append)
    assert "unchanged" not in said


@pytest.mark.usefixtures("no_packages")
def test_a_pack_cut_in_the_middle_is_made_again(charm):
    archive = packing.pack(charm, Target.here())
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    assert packing.pack(charm, Target.here()).read_bytes() == whole


def test_a_failed_pack_leaves_nothing(charm, monkeypatch):
    def fail(*_arguments):
        raise ToolkitError("uv pip failed")

    monkeypatch.setattr(packing, "_install", fail)
    before = sorted(charm.iterdir())
    with pytest.raises(ToolkitError, match="uv pip failed"):
        packing.pack(charm, Target.here())
    assert sorted(charm.iterdir()) == before


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("charmcraft.yaml", "name: [", "is not YAML"),
        ("charmcraft.yaml", "type: charm", "has no name"),
        ("uv.lock", None, "has no uv.lock"),
        ("src/charm.py", None, "has no src/charm.py"),
        ("charmcraft.yaml", None, "is no charm"),
    ],
)
def test_what_is_no_charm_is_refused(charm, file, content, told):
    if content is None:
        (charm / file).unlink()
    else:
        (charm / file).write_text(content)
    with pytest.raises(ToolkitError, match=told):
        packing.pack(charm, Target.here())
