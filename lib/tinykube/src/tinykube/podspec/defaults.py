"""What Kubernetes fills into a pod, and what follows from its containers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from tinykube import names, quantity
from tinykube.objects import JSON
from tinykube.podspec import handlers
from tinykube.podspec.shape import SOURCES

TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path


def containers(pod: Mapping[str, Any]) -> Iterator[tuple[str, JSON]]:
    """Every container with its path, those that initialise first."""
    for group in ("initContainers", "containers"):
        for index, item in enumerate(pod["spec"].get(group) or ()):
            yield f"spec.{group}[{index}]", item


def asked_name(pod: Mapping[str, Any]) -> str:
    """What admission calls a new pod: what its generated name begins with, if it has such."""
    name, prefix = pod["metadata"]["name"], pod["metadata"].get("generateName")
    return str(prefix if prefix and name.startswith(prefix[:58]) else name)


def default(pod: JSON) -> None:
    """Fill in what Kubernetes fills in."""
    default_template(pod)
    spec: JSON = pod["spec"]
    spec.setdefault("enableServiceLinks", True)
    if spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1
    account = spec.get("serviceAccountName") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = account
    for _, item in containers(pod):
        _default_requests(item)


def default_template(template: JSON) -> None:
    """Fill in what Kubernetes fills into a template of pods: the rest comes with each pod."""
    spec: JSON = template.setdefault("spec", {})
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    if account := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for _, item in containers(template):
        _default_container(item)
    for volume in spec.get("volumes") or ():
        _default_volume(volume)


def _default_requests(container: JSON) -> None:
    resources = container["resources"]
    for name, amount in (resources.get("limits") or {}).items():
        resources.setdefault("requests", {}).setdefault(name, amount)


def pulls_always(container: Mapping[str, Any]) -> bool:
    """True if a container that says no pull policy has `Always`, for its image's tag."""
    tag = (container.get("image") or "").rpartition("/")[2]
    return "@" not in tag and (":" not in tag or tag.endswith(":latest"))


def _default_container(container: JSON) -> None:
    always = pulls_always(container)
    container.setdefault("imagePullPolicy", "Always" if always else "IfNotPresent")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    handlers.default(container)
    container.setdefault("resources", {})
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or ():
        if field := (variable.get("valueFrom") or {}).get("fieldRef"):
            field.setdefault("apiVersion", "v1")


def _default_volume(volume: JSON) -> None:
    if not any(source in volume for source in SOURCES):
        volume["emptyDir"] = {}
    for source in ("secret", "configMap", "downwardAPI", "projected"):
        if source in volume:
            volume[source].setdefault("defaultMode", 0o644)
    if template := (volume.get("ephemeral") or {}).get("volumeClaimTemplate"):
        template.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
    if "image" in volume:
        volume["image"].setdefault("pullPolicy", "IfNotPresent")


def mount_token(pod: JSON) -> None:
    """Give each container the service account's token, CA and namespace at the usual path."""
    wanting = [
        item
        for _, item in containers(pod)
        if all(mount.get("mountPath") != TOKEN_FOLDER for mount in item.get("volumeMounts") or ())
    ]
    if not wanting:
        return
    name = names.generate("kube-api-access-")
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {
            "configMap": {
                "name": "kube-root-ca.crt",
                "items": [{"key": "ca.crt", "path": "ca.crt"}],
            }
        },
        {
            "downwardAPI": {
                "items": [
                    {
                        "path": "namespace",
                        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                    }
                ]
            }
        },
    ]
    projected = {"sources": sources, "defaultMode": 0o644}
    pod["spec"].setdefault("volumes", []).append({"name": name, "projected": projected})
    for item in wanting:
        mount = {"name": name, "readOnly": True, "mountPath": TOKEN_FOLDER}
        item.setdefault("volumeMounts", []).append(mount)


def quality(pod: Mapping[str, Any]) -> str:
    """The pod's QoS class."""
    requests: dict[str, Fraction] = {}
    limited = True
    any_limit = False
    for _, item in containers(pod):
        resources = item.get("resources") or {}
        limits = resources.get("limits") or {}
        for name, amount in (resources.get("requests") or {}).items():
            if name in ("cpu", "memory"):
                requests[name] = requests.get(name, Fraction(0)) + quantity.parse(amount)
        for name in ("cpu", "memory"):
            limit = limits.get(name)
            any_limit = any_limit or limit is not None
            same = limit is not None and quantity.parse(limit) == quantity.parse(
                (resources.get("requests") or {}).get(name, limit)
            )
            limited = limited and same
    if not any(requests.values()) and not any_limit:
        return "BestEffort"
    return "Guaranteed" if limited else "Burstable"


def demand(pod: Mapping[str, Any], group: str = "requests") -> dict[str, Fraction]:
    """What the scheduler must find free: all requests, or the largest that initialises.

    Args:
        pod: a pod with its defaults filled in.
        group: `requests` or `limits`.
    """
    total: dict[str, Fraction] = {}
    for item in pod["spec"].get("containers") or ():
        _add(total, item, group)
    beside: dict[str, Fraction] = {}
    largest: dict[str, Fraction] = {}
    for item in pod["spec"].get("initContainers") or ():
        if item.get("restartPolicy") == "Always":
            # It runs on beside all that come after it.
            _add(total, item, group)
            _add(beside, item, group)
            need = dict(beside)
        else:
            need = dict(beside)
            _add(need, item, group)
        largest = {
            name: max(need.get(name, Fraction(0)), largest.get(name, Fraction(0)))
            for name in need.keys() | largest.keys()
        }
    return {
        name: max(total.get(name, Fraction(0)), largest.get(name, Fraction(0)))
        for name in total.keys() | largest.keys()
    }


def _add(total: dict[str, Fraction], container: Mapping[str, Any], group: str) -> None:
    for name, amount in ((container.get("resources") or {}).get(group) or {}).items():
        total[name] = total.get(name, Fraction(0)) + quantity.parse(amount)
