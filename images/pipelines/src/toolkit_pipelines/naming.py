"""Names that follow from a run's id, a task's path and an attempt, and from nothing else.

That they are the same whenever they are computed is what makes a second start of an attempt
impossible: its pod exists already, its folder has been claimed.
"""

from __future__ import annotations

import functools
import hashlib
import re
import uuid
from typing import Final

_MAX_POD_NAME: Final = 63
_MADE: Final = re.compile(
    r"/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/[^/]+/[0-9a-f]{16}(?:/|$)"
)


def slug(text: str, length: int) -> str:
    """Give text as a part of a DNS label: lower-case letters, digits and single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:length].strip("-")


def salt(run_id: str, task: str, attempt: int) -> str:
    """Give 16 hexadecimal digits that stand for one attempt of one task of one run."""
    return hashlib.sha256(f"{run_id}\0{task}\0{attempt}".encode()).hexdigest()[:16]


def task_id(run_id: str, task: str) -> str:
    """Give the id of a task of a run (a uuid5)."""
    return str(uuid.uuid5(_namespace(run_id), task))


@functools.lru_cache(maxsize=256)
def _namespace(run_id: str) -> uuid.UUID:
    return uuid.UUID(run_id)


def maker(uri: str) -> str:
    """Give the id of the run that made the artifact at a URI, as `PipelineRoot` builds it.

    "" if its URI does not tell: it was not made by a run.
    """
    found = _MADE.search(uri)
    return found[1] if found else ""


def iteration(path: str) -> str:
    """Give what people call an iteration of a loop: `loop[7]` for `outer/loop/7`."""
    loop, _, number = path.rpartition("/")
    return f"{loop.rpartition('/')[2]}[{number}]"


def pod_name(pipeline: str, run_id: str, task: str, attempt: int) -> str:
    """Give the name of the pod of one attempt: readable first, unique by its end."""
    unique = salt(run_id, task, attempt)
    room = _MAX_POD_NAME - len(unique) - 1
    readable = "-".join(
        part for part in (slug(pipeline, 22), slug(task.rpartition("/")[2], 22)) if part
    )
    return f"{readable[:room].strip('-') or 'task'}-{unique}"


def resource_name(pipeline: str, run_id: str) -> str:
    """Give the run's name in Kubernetes' terms (KFP's `pipeline_job_resource_name`)."""
    return f"{slug(pipeline, 50) or 'run'}-{run_id.replace('-', '')[:8]}"
