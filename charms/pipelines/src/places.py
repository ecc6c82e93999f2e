"""The clusters that the application has made something in, remembered until it is deleted there.

A kubeconfig that the config no longer names may be gone, so its content is kept: in a secret of
the application's own, which nobody else may read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import ops

from cluster import address

LABEL = "clusters"
KEY = "clusters"


@dataclass(frozen=True, slots=True)
class Places:
    """Where steps are, and where they were; each the content of a kubeconfig, "" for this cluster.

    Attributes:
        current: where steps are.
        left: where they were, and something of them may still be.
    """

    current: str = ""
    left: tuple[str, ...] = ()

    def moved(self, kubeconfig: str) -> Places:
        """Steps are there now. Another kubeconfig for the same namespace of a cluster is no move.

        Raises:
            Blocked: the kubeconfig cannot be used.
        """
        to = address(kubeconfig)
        left = (*self.left, self.current)
        return Places(kubeconfig, tuple(each for each in left if address(each) != to))

    def cleared(self, kubeconfig: str) -> Places:
        """Nothing is left there any more."""
        return replace(self, left=tuple(each for each in self.left if each != kubeconfig))

    @property
    def all(self) -> tuple[str, ...]:
        """Every cluster that may hold something, this one first."""
        return tuple(dict.fromkeys(("", self.current, *self.left)))


class Record:
    """What is remembered of the application's places."""

    def __init__(self, charm: ops.CharmBase) -> None:
        self._charm = charm
        self._secret: ops.Secret | None = None
        self._places: Places | None = None

    @property
    def places(self) -> Places:
        """What is known; where nothing is, steps have been in this cluster alone."""
        if self._places is None:
            try:
                self._secret = self._charm.model.get_secret(label=LABEL)
                # Refreshed, so that nobody holds an earlier revision any more: that ends it.
                data = json.loads(self._secret.get_content(refresh=True)[KEY])
                self._places = Places(data["current"], tuple(data["left"]))
            except ops.SecretNotFoundError:
                self._places = Places()
        return self._places

    def write(self, places: Places) -> None:
        """Remember it; for the leader. It is kept when the hook ends well, as all that it did."""
        if places == self.places:
            return
        content = {KEY: json.dumps({"current": places.current, "left": places.left})}
        if self._secret is None:
            self._secret = self._charm.app.add_secret(
                content, label=LABEL, description="The clusters that steps have been in."
            )
        else:
            self._secret.set_content(content)
        self._places = places
