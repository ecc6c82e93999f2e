"""What a container asks for of cpu and memory, and what the operator's defaults add to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resources:
    """What a container asks for: Kubernetes quantities (`500m`, `2Gi`), "" for nothing."""

    cpu_request: str = ""
    memory_request: str = ""
    cpu_limit: str = ""
    memory_limit: str = ""

    def over(self, defaults: Resources) -> Resources:
        """Give these with what they leave open taken from `defaults`.

        A default request does not go beside a limit of the pod's own, which it may exceed: there
        Kubernetes takes the limit as the request.
        """
        return Resources(
            self.cpu_request or ("" if self.cpu_limit else defaults.cpu_request),
            self.memory_request or ("" if self.memory_limit else defaults.memory_request),
            self.cpu_limit or ("" if self.cpu_request else defaults.cpu_limit),
            self.memory_limit or ("" if self.memory_request else defaults.memory_limit),
        )

    def manifest(self) -> dict[str, dict[str, str]]:
        """Give the container's `resources`."""
        found: dict[str, dict[str, str]] = {}
        for group, cpu, memory in (
            ("requests", self.cpu_request, self.memory_request),
            ("limits", self.cpu_limit, self.memory_limit),
        ):
            values = {"cpu": cpu, "memory": memory}
            kept = {name: value for name, value in values.items() if value}
            if kept:
                found[group] = kept
        return found
