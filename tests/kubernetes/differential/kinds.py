"""The kinds that both are asked about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from . import contents, workloads
from .widgets import widgets
from .words import JSON, KEYS, LABELS, NAMES, RBAC, WORDS


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind that both serve.

    Attributes:
        plural: the last part of its path.
        group_version: `v1`, `batch/v1`, ...
        kind: its name in bodies.
        content: draws what is beside metadata.
        namespaced: False where it belongs to the whole cluster.
        subresources: those that are asked for as well.
        restless: controllers write to it by themselves, so that its versions are not compared.
        untouched: paths in a body that are never spoiled.
    """

    plural: str
    group_version: str
    kind: str
    content: Callable[[], st.SearchStrategy[JSON]]
    namespaced: bool = True
    subresources: tuple[str, ...] = ()
    restless: bool = False
    untouched: tuple[tuple[str, ...], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What its objects are called; those of the whole cluster by their sequence as well."""
        return NAMES if self.namespaced else tuple(f"$namespace-{name}" for name in NAMES)

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Its path; of one object, if a name is given."""
        root = "/api/v1" if self.group_version == "v1" else f"/apis/{self.group_version}"
        where = f"/namespaces/{namespace}" if self.namespaced else ""
        ends = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{where}/{self.plural}{ends}"

    def bodies(self, name: st.SearchStrategy[str]) -> st.SearchStrategy[JSON]:
        """Whole objects."""
        return st.builds(self._body, name, _metadata(), self.content())

    def _body(self, name: str, metadata: JSON, content: JSON) -> JSON:
        return {
            "apiVersion": self.group_version,
            "kind": self.kind,
            "metadata": {"name": name, **metadata},
            **content,
        }


_OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
_OWNERS = (
    [{**_OWNER, "uid": ""}],
    [{**_OWNER, "apiVersion": "a/b/c"}],
    [{**_OWNER, "kind": "Event"}],
    [{**_OWNER, "controller": True}, {**_OWNER, "uid": "v", "controller": True}],
)


def _metadata() -> st.SearchStrategy[JSON]:
    return st.fixed_dictionaries(
        {},
        optional={
            "labels": LABELS,
            "annotations": st.dictionaries(KEYS, WORDS, max_size=2),
            "finalizers": st.sampled_from([[], ["example.com/f"]]),
            # Whoever has an owner that is not there would be deleted: the good ones are none.
            "ownerReferences": st.sampled_from([[], [], [], *_OWNERS]),
        },
    )


_STATUS = ("status",)
KINDS = (
    Kind(
        "namespaces",
        "v1",
        "Namespace",
        contents.namespaces,
        namespaced=False,
        subresources=_STATUS,
        restless=True,
    ),
    Kind("configmaps", "v1", "ConfigMap", contents.config_maps),
    Kind("secrets", "v1", "Secret", contents.secrets),
    Kind("serviceaccounts", "v1", "ServiceAccount", contents.accounts),
    Kind("events", "v1", "Event", contents.events),
    Kind("services", "v1", "Service", contents.services, subresources=_STATUS),
    Kind(
        "persistentvolumeclaims",
        "v1",
        "PersistentVolumeClaim",
        contents.claims,
        subresources=_STATUS,
        restless=True,
    ),
    Kind(
        "resourcequotas",
        "v1",
        "ResourceQuota",
        contents.quotas,
        subresources=_STATUS,
        restless=True,
    ),
    Kind("limitranges", "v1", "LimitRange", contents.limits),
    Kind(
        "pods",
        "v1",
        "Pod",
        workloads.pods,
        subresources=_STATUS,
        untouched=(("spec", "schedulerName"),),
    ),
    Kind("roles", f"{RBAC}/v1", "Role", contents.roles),
    Kind("rolebindings", f"{RBAC}/v1", "RoleBinding", contents.bindings),
    Kind("clusterroles", f"{RBAC}/v1", "ClusterRole", contents.roles, namespaced=False),
    Kind("leases", "coordination.k8s.io/v1", "Lease", contents.leases),
    Kind(
        "jobs",
        "batch/v1",
        "Job",
        workloads.jobs,
        subresources=_STATUS,
        restless=True,
        untouched=(("spec", "suspend"),),
    ),
    Kind(
        "priorityclasses",
        "scheduling.k8s.io/v1",
        "PriorityClass",
        contents.priorities,
        namespaced=False,
    ),
    Kind(
        "widgets",
        "test.example.com/v1",
        "Widget",
        widgets,
        subresources=("status", "scale"),
    ),
)
