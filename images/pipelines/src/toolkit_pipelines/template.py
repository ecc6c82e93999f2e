"""`python -m toolkit_pipelines.template`: what Kubernetes would be given for a step, as YAML.

Names that only a run has are in capitals. Nothing is asked of Kubernetes, and nothing is written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from toolkit_jobs import ClaimMount, EmptyMount, GpuRequest, Mount, PodRequest, Resources
from toolkit_jobs.manifests import manifests
from toolkit_objects import Location

from .app import pod_options
from .environments import LAUNCHER, launcher_mounts
from .imagemap import ImageMap
from .root import DEFAULT_URI, PipelineRoot
from .settings import Settings, SettingsError, load
from .spec import SpecError, accelerators


def documents(settings: Settings, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Give the objects that a step with these requests would have made.

    Raises:
        SpecError: the accelerator is none.
    """
    if arguments.gpu_resource:
        accelerators.check_type(arguments.gpu_resource, "gpu-resource")
    if arguments.gpu_count is not None:
        accelerators.count(str(arguments.gpu_count), "gpu-count")
    uri = Location.parse(settings.artifact_store).uri if settings.artifact_store else DEFAULT_URI
    mount, claim = PipelineRoot.local(uri), settings.pipeline_root_claim
    mounts: list[Mount] = list(launcher_mounts(settings.step_image))
    if settings.artifact_transfer == "volume":
        run, attempt = "PIPELINE/RUN", "PIPELINE/RUN/STEP/ATTEMPT"
        mounts += [
            ClaimMount(f"{mount}/{run}", claim, run, read_only=True),
            ClaimMount(f"{mount}/{attempt}", claim, attempt),
        ]
        words = ["run", f"{mount}/{attempt}.json"]
    else:
        mounts.append(EmptyMount(mount))
        words = ["remote", settings.artifact_address]
    request = PodRequest(
        name="pipeline-step",
        image=ImageMap.read(settings.image_map).of(arguments.image),
        command=("python3", LAUNCHER, *words),
        mounts=tuple(mounts),
        resources=Resources(
            cpu_request=arguments.cpu,
            memory_request=arguments.memory,
            memory_limit=arguments.memory,
        ),
        gpus=GpuRequest(arguments.gpu_count, arguments.gpu_resource),
    )
    return manifests(request, pod_options(settings))


def main(words: list[str]) -> int:
    """Print the objects; 2 means that the settings or the request cannot be used."""
    parser = argparse.ArgumentParser(prog="toolkit_pipelines.template", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the settings")
    parser.add_argument("--image", default="python:3.11", help="the step's image")
    parser.add_argument("--cpu", default="", help="its CPU request, such as 500m")
    parser.add_argument("--memory", default="", help="its memory request and limit, such as 2Gi")
    parser.add_argument("--gpu-count", type=int, help="how many GPUs it asks for itself")
    parser.add_argument("--gpu-resource", default="", help="the resource it asks for itself")
    arguments = parser.parse_args(words)
    try:
        found = documents(load(arguments.config), arguments)
    except (SettingsError, SpecError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(yaml.safe_dump_all(found, sort_keys=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
