"""Pipeline specs: read, checked, typed.

`load` takes the text that a user uploads, `parse` the plain data that a client sends in JSON.
"""

from __future__ import annotations

from .document import read
from .errors import NotSupportedError, SpecError
from .model import Json, Pipeline
from .parse import pipeline as parse
from .values import arguments

__all__ = ["NotSupportedError", "Pipeline", "SpecError", "arguments", "load", "parse", "split"]


def split(text: bytes | str) -> tuple[Json, Json]:
    """Read a package and give its pipeline spec and platform spec (None if it has none).

    Two forms are known: one or two YAML documents as the compiler writes them, and one map
    `{pipeline_spec: ..., platform_spec: ...}` as `kfp.Client` sends it.

    Raises:
        SpecError: it is not YAML, is too large, or has another number of documents.
    """
    documents = read(text)
    if not documents or len(documents) > 2 or documents[0] is None:
        raise SpecError(
            "",
            f"a pipeline package has one YAML document, or two with a platform spec; found "
            f"{len([each for each in documents if each is not None])}",
        )
    first = documents[0]
    if len(documents) == 2:
        return first, documents[1]
    if isinstance(first, dict) and "pipeline_spec" in first:
        return first["pipeline_spec"], first.get("platform_spec")
    return first, None


def load(text: bytes | str) -> Pipeline:
    """Read and check a package.

    Raises:
        SpecError: it cannot be run; the message names the place, the problem and what to do.
        NotSupportedError: it uses a construct that is not built yet; the message names it.
    """
    return parse(*split(text))
