"""Steps whose images the operator has elsewhere than where their pipelines say."""

import json
import warnings
from collections.abc import Callable

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports, and its notes on default images
    import kfp_server_api
    from kfp import dsl

from .stack import Service
from .test_steps import finish, submit

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")


@pytest.fixture
def mapped(serve: Callable[..., Service]) -> Service:
    """A service that has the images of a registry without its name."""
    return serve("mapped", image_map={"hub.example.com/*": "*"})


def images(service: Service, run_id: str) -> dict[str, str]:
    """The images of a run's steps, by task."""
    with service.http() as api:
        run = api.get(f"/apis/v2beta1/runs/{run_id}").json()
    tasks = run["run_details"]["task_details"]
    return {each["display_name"]: each["image"] for each in tasks if each.get("image")}


def test_a_step_whose_image_is_mapped_runs(mapped: Service) -> None:
    @dsl.component(base_image="hub.example.com/python:3.11", packages_to_install=["six==1.17.0"])
    def version() -> str:
        import six

        return str(six.__version__)

    @dsl.pipeline(name="mapped")
    def pipeline(image: str):
        version()
        # One that comes from a parameter is known when the step starts.
        version().set_container_image(image)

    run_id = submit(mapped, pipeline, image="hub.example.com/python:3.12")
    assert finish(mapped.client(), run_id).state == "SUCCEEDED", mapped.evidence(run_id)
    results = list(mapped.root.glob(f"mapped/{run_id}/*/*/result.json"))
    found = [json.loads(each.read_text())["parameters"] for each in results]
    assert found == [{"Output": "1.17.0"}] * 2
    # What ran is in the record of the run.
    assert images(mapped, run_id) == {"version": "python:3.11", "version-2": "python:3.12"}


def test_one_that_nobody_has_is_refused_with_both_names(mapped: Service) -> None:
    @dsl.container_component
    def exotic():
        return dsl.ContainerSpec(image="hub.example.com/none:1", command=["true"])

    @dsl.pipeline(name="refused")
    def refused():
        exotic()

    with pytest.raises(kfp_server_api.ApiException) as answer:
        submit(mapped, refused)
    said = json.loads(answer.value.body)["message"]
    assert "'hub.example.com/none:1' is 'none:1' by image_map" in said
    assert 'image "none:1" is not on this machine' in said
