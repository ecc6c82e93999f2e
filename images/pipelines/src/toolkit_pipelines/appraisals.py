"""What Kubernetes makes of what components ask for: asked before they run, by dry runs of pods.

So a pod that no cluster takes is refused with its pipeline, and a field that this one takes and
cannot give is told where its task is. Kubernetes itself gives what it takes, and says nothing.

What only a run knows stands in for itself: a name that a parameter gives is some name, other
values are left out. Components that ask for the same are asked about once.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from toolkit_jobs import Appraisal, EmptyMount, PodRequest

from . import podspec, taskconfig
from .environments import launcher_mounts
from .options import EngineOptions
from .pods import Pods
from .root import PipelineRoot
from .spec import SpecError
from .spec.kubernetes import KubernetesSettings
from .spec.model import Component, Constant, Container, Json, ParameterSource, Pipeline

log = logging.getLogger(__name__)

_NAME: Final = "appraisal"
_SOME_NAME: Final = "from-a-parameter"
_PLACEHOLDER: Final = "{{$"
_KEPT: Final = 1000
_MOST_ASKED: Final = 200
"""How many different pods of one pipeline are asked about."""


class Appraisals:
    """What is known of the pods of components.

    Args:
        pods: the Kubernetes API.
        options: how steps run.
        root: where steps have their files.
    """

    def __init__(self, pods: Pods, options: EngineOptions, root: PipelineRoot) -> None:
        self._pods = pods
        self._options = options
        self._root = root
        self._known: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    async def invalid(self, pipeline: Pipeline) -> dict[str, str]:
        """Give why no pod can ever be made for components of a pipeline, by their names."""
        found: dict[str, str] = {}
        # There may be thousands of components.
        requests = await asyncio.to_thread(self._requests, pipeline)
        for name, request in itertools.islice(requests.items(), _MOST_ASKED):
            appraisal = await self._ask(request)
            if appraisal is not None and appraisal.invalid:
                found[name] = appraisal.invalid
        return found

    async def ineffective(self, component: Component) -> tuple[str, ...] | None:
        """Give the fields of a component's pod that would change nothing; None if nobody knows."""
        request = self._request(component)
        appraisal = await self._ask(request) if request is not None else None
        return appraisal.ineffective if appraisal is not None else None

    async def _ask(self, request: PodRequest) -> Appraisal | None:
        key = repr(request)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return Appraisal(ineffective=known)
        found = await self._pods.appraise(request)
        if found is not None and not found.invalid:
            # What is refused is asked again: the cluster may learn it.
            self._known[key] = found.ineffective
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return found

    def _requests(self, pipeline: Pipeline) -> dict[str, PodRequest]:
        """Give the different pods of a pipeline, each by the first component that has it."""
        found: dict[str, tuple[str, PodRequest]] = {}
        for name, component in pipeline.components.items():
            request = self._request(component)
            if request is not None:
                found.setdefault(repr(request), (name, request))
        return dict(found.values())

    def _request(self, component: Component) -> PodRequest | None:
        """Give a pod that asks for all that a component's pods do; None if it has none."""
        container = component.body
        if not isinstance(container, Container):
            return None
        if component.passthroughs:
            container = taskconfig.kept(component, container)
        settings = container.kubernetes
        written = container.image
        image = (
            self._options.images.of(written)
            if settings.pull_policy and _PLACEHOLDER not in written
            else self._options.step_image
        )
        plain = PodRequest(
            name=_NAME,
            image=image,
            command=("true",),
            mounts=(*launcher_mounts(self._options.step_image), EmptyMount(self._root.mount)),
        )
        known = dataclasses.replace(container, kubernetes=_known(settings))
        try:
            request, _ = podspec.extend(plain, known, _text, _look_up)
        except SpecError as error:
            # What stands in for a value does not fit, perhaps; the run will say so itself.
            log.debug("the pod of %s is not appraised: %s", component.name, error)
            return None
        return request


def _known(settings: KubernetesSettings) -> KubernetesSettings:
    """Leave out what parameters give, but for names."""
    selector, tolerations = settings.node_selector, settings.tolerations
    return dataclasses.replace(
        settings,
        node_selector=selector if isinstance(selector, Mapping) else {},
        tolerations=tuple(each for each in tolerations if isinstance(each, Mapping)),
        node_affinities=(),
        claim_configurations=tuple(
            each for each in settings.claim_configurations if isinstance(each, Constant)
        ),
    )


def _text(value: str) -> str:
    return "" if _PLACEHOLDER in value else value


def _look_up(source: ParameterSource) -> Json:
    return source.value if isinstance(source, Constant) else _SOME_NAME
