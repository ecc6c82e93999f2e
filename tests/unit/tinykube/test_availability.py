"""Images that no pod could have: told by a dry run alone, where one node is all there is."""

import pytest

from sandbox.images import ImageStore
from tinykube import kinds
from tinykube.availability import Availability
from tinykube.options import Options
from tinykube.rbac import SYSTEM


def pod(*images):
    containers = [
        {"name": f"c{number}", "image": image, "command": ["true"]}
        for number, image in enumerate(images)
    ]
    return {"metadata": {"name": "p"}, "spec": {"containers": containers}}


@pytest.fixture
def here(registry, store, tmp_path):
    config = tmp_path / "config.yaml"
    made = Availability(store, "here", config, ImageStore(tmp_path / "images"))
    registry.unavailable = made.warnings
    return config


def warned(registry, body, **options):
    asked = Options(**options)
    registry.create(kinds.PODS, "default", body, SYSTEM, asked)
    return asked.warnings


def test_a_dry_run_names_the_image_and_the_remedy(registry, here):
    body = pod("busybox", "example.org/none:1", "python:3")
    (found,) = warned(registry, body, dry_run=True)
    assert found.startswith('spec.containers[1].image: image "example.org/none:1" is not on this')
    assert str(here) in found


def test_once_it_is_mapped_nothing_is_said(registry, here):
    here.write_text("images: [{match: 'example.org/*', image: machine}]")
    assert warned(registry, pod("example.org/none:1"), dry_run=True) == []


@pytest.mark.usefixtures("here")
def test_a_pod_that_is_made_waits_for_its_image_as_on_kubernetes(registry):
    assert warned(registry, pod("example.org/none:1")) == []


@pytest.mark.usefixtures("here")
def test_what_other_nodes_have_is_not_known(registry, create):
    create(kinds.NODES, {"metadata": {"name": "here"}})
    assert warned(registry, pod("example.org/none:1"), dry_run=True)
    create(kinds.NODES, {"metadata": {"name": "there"}})
    assert warned(registry, pod("example.org/none:1"), dry_run=True) == []
