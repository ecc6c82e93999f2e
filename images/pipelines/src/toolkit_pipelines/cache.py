"""The cache: what earlier executions gave, for tasks that may be given the same.

Its entries are the executions that ended well, kept by the store with their fingerprints. Nothing
is copied: a task that is taken from the cache gets the same artifacts, where they are. So a run
whose artifacts others use cannot be deleted (see `Runs.retire`), and an entry whose artifacts were
removed in another way is passed over. Whatever goes wrong in here, the task runs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from toolkit_objects import ObjectStoreError

from . import cachekey, podspec, workspaces
from .contents import Contents, ElsewhereError
from .options import CacheOptions
from .spec import SpecError
from .spec.model import Caching, Container
from .step import Step
from .store.interface import EventStore, Execution, StoreError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """What the cache has for a task.

    Attributes:
        fingerprint: what its outputs are to be kept by; "" to keep none.
        execution: the one whose outputs it is to be given; None if it has to run.
    """

    fingerprint: str = ""
    execution: Execution | None = None


class Cache:
    """Looks executions up.

    Args:
        store: has them.
        contents: tells what their artifacts hold.
        options: which are taken; None takes and keeps none.
    """

    def __init__(
        self,
        store: EventStore,
        contents: Contents,
        options: CacheOptions | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._contents = contents
        self._options = options
        self._clock = clock

    def serves(self, step: Step) -> bool:
        """Tell whether there may be anything for a step that is about to run."""
        if self._options is None or step.pipeline.caching(step.task.path) is None:
            return False
        # What an importer has copied is in the workspace of its run.
        return isinstance(step.pipeline.component(step.task.path).body, Container)

    def find(self, step: Step) -> Finding:
        """Give what there is for a step that is about to run; blocking."""
        caching = step.pipeline.caching(step.task.path)
        if self._options is None or caching is None:
            return Finding()
        try:
            fingerprint = self._fingerprint(step, caching)
        except SpecError as error:
            # It cannot run either, and will say so.
            log.debug("task %s: %s", step.task.path, error)
            return Finding()
        except (StoreError, OSError, ValueError) as error:
            log.warning("the inputs of task %s cannot be looked at: %s", step.task.path, error)
            return Finding()
        if step.created.force:
            return Finding(fingerprint)
        since = self._clock() - self._options.ttl if self._options.ttl else 0.0
        try:
            found = self._store.execution(fingerprint, since)
            if found is not None and self._present(found):
                return Finding(fingerprint, found)
        except (StoreError, ObjectStoreError, OSError, ValueError) as error:
            log.warning("the cache has nothing for task %s: %s", step.task.path, error)
        return Finding(fingerprint)

    def _fingerprint(self, step: Step, caching: Caching) -> str:
        component = step.component
        if caching.key:
            # What a step does in the workspace of its run is done there alone.
            key = "\0".join((caching.key, *workspaces.claims(step)))
            return cachekey.given(step.pipeline.name, component, key)
        container = component.body
        assert isinstance(container, Container)  # noqa: S101 - only these have pods
        inputs = step.task.inputs
        return cachekey.computed(
            step.pipeline.name,
            component,
            inputs,
            constants=step.placeholders,
            claims=[
                *podspec.claims(container.kubernetes, step.look_up),
                *workspaces.claims(step),
            ],
            digests={
                each.uri: self._contents.digest(each.uri)
                for listed in inputs.artifacts.values()
                for each in listed
            },
        )

    def _present(self, execution: Execution) -> bool:
        for listed in execution.outputs.artifacts.values():
            for each in listed:
                try:
                    there = self._contents.present(each.uri)
                except ElsewhereError as error:
                    log.info("%s: %s", each.uri, error)
                    there = False
                if not there:
                    log.info("%s is gone: task %s runs again", each.uri, execution.task)
                    return False
        return True
