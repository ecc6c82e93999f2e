"""Images that no pod could have here: what a dry run of a pod warns of.

Kubernetes finds out only when a node pulls. Here the one node's images are known beforehand, so
who asks with a dry run hears of it before anything runs. Where other nodes have joined, nothing is
said.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sandbox.images import ImageStore
from tinykube import kinds
from tinykube.node.images import ImageMap, PullError
from tinykube.objects import JSON
from tinykube.store import Store


class Availability:
    """The images of the only node.

    Args:
        store: has the nodes.
        node: the name of the node whose images these are.
        config: its config file.
        images: its process images.
    """

    def __init__(self, store: Store, node: str, config: Path, images: ImageStore) -> None:
        self._store = store
        self._node = node
        self._images = ImageMap(config, images)

    def warnings(self, pod: JSON) -> Iterator[str]:
        """Give a warning for each container whose image cannot be had, with its place."""
        if any(row.name != self._node for row in self._store.rows(kinds.NODES.key)):
            return
        for kind in ("initContainers", "containers"):
            for number, container in enumerate(pod["spec"].get(kind) or ()):
                try:
                    self._images.resolve(container["image"])
                except PullError as error:
                    yield f"spec.{kind}[{number}].image: {error}"
