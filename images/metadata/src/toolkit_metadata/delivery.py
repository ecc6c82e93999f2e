"""Artifacts sent from the object store as they come.

MLflow's own way is to fetch all of a file first: its clients give up on a large one meanwhile, and
the disk has to hold it.
"""

from __future__ import annotations

import asyncio
import logging
import posixpath
from typing import TYPE_CHECKING

from toolkit_objects import ObjectStore, ObjectStoreError

if TYPE_CHECKING:
    from starlette.responses import Response

logger = logging.getLogger(__name__)


class Delivery:
    """What answers a client that reads an artifact.

    Args:
        objects: the store that is set.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def answer(self, path: str) -> Response | None:
        """Give the answer to who reads an artifact; None if the store does not have it.

        Args:
            path: the artifact's, below the root of all, as the request has it.
        """
        from mlflow.exceptions import MlflowException
        from mlflow.utils.mime_type_utils import _guess_mime_type
        from mlflow.utils.uri import validate_path_is_safe
        from starlette.responses import JSONResponse, StreamingResponse

        try:
            # As MLflow reads it when the artifact is written.
            below = posixpath.normpath(validate_path_is_safe(path))
        except MlflowException:
            return None
        try:
            size = await asyncio.to_thread(self._objects.size, below)
        except ObjectStoreError as error:
            code = "TEMPORARILY_UNAVAILABLE" if error.transient else "INTERNAL_ERROR"
            logger.error("%s", error)
            return JSONResponse(
                {"error_code": code, "message": str(error)}, 503 if error.transient else 500
            )
        if size is None:
            return None
        from mlflow.server.handlers import _content_disposition_attachment

        headers = {
            "Content-Type": _guess_mime_type(below),
            "Content-Length": str(size),
            "Content-Disposition": _content_disposition_attachment(posixpath.basename(below)),
            "X-Content-Type-Options": "nosniff",
        }
        return StreamingResponse(self._objects.read(below, size), headers=headers)
