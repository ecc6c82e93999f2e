"""What a task asks of Kubernetes besides its container: `kfp.kubernetes`, typed.

Names of secrets, config maps and claims, selectors and tolerations may come from parameters: then
they are a source, to be looked up when the task starts. A source without a value leaves out what
it is for, as in KFP's own backend. What nothing has to be looked up for is `toolkit_jobs`' own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from toolkit_jobs import EmptyMount, EphemeralMount, InitContainer

from .sources import Json, ParameterSource

WORKSPACE_PATH: Final = "/kfp-workspace"
"""Where the workspace of a run is in a step, as KFP's SDK knows it."""
WORKSPACE_VOLUME: Final = "kfp-workspace"
"""What its volume is called, as KFP's users know it."""


@dataclass(frozen=True, slots=True)
class KeyVariable:
    """A variable that holds one value of a secret or config map; `optional` None: nothing said."""

    variable: str
    name: ParameterSource
    key: str
    optional: bool | None = None


@dataclass(frozen=True, slots=True)
class Files:
    """The values of a secret or config map as files in a folder."""

    path: str
    name: ParameterSource
    optional: bool = False


@dataclass(frozen=True, slots=True)
class ClaimFolder:
    """A persistent volume claim, mounted."""

    path: str
    name: ParameterSource
    sub_path: str = ""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A volume that a run's steps share (`dsl.WorkspaceConfig`).

    Attributes:
        size: of the claim, as Kubernetes writes quantities.
        claim: what else its `spec` says, as Kubernetes has it.
    """

    size: str
    claim: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom the task runs; None for what the image says."""

    user: int | None = None
    group: int | None = None
    non_root: bool | None = None


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """A task's settings of the platform `kubernetes`.

    Attributes:
        secret_variables, config_map_variables, field_variables: the environment; the last are
            paths of the pod's own fields by variable.
        secret_files, config_map_files, claims, empty_folders, ephemeral_folders: what is mounted.
        volumes: the paths of empty and ephemeral folders by the names of their volumes.
        node_selector: labels, or a source that gives them.
        tolerations: each as Kubernetes has it, or a source that gives one or a list.
        node_affinity: what is required and preferred of nodes, as Kubernetes has it.
        node_affinities: sources that give more of the same.
        pod_affinity: `podAffinity` and `podAntiAffinity` as Kubernetes has them.
        claim_templates: names of resource claim templates.
        claim_configurations: sources that give one of `resourceClaimTemplateName`, or a list.
        deadline: seconds, or None.
        before: init containers, in the order in which they start. Their mounts lead to names yet,
            not to paths: to what the author calls the volume or, of a secret, a config map and a
            claim, to the object's name.
    """

    secret_variables: tuple[KeyVariable, ...] = ()
    config_map_variables: tuple[KeyVariable, ...] = ()
    field_variables: Mapping[str, str] = field(default_factory=dict)
    secret_files: tuple[Files, ...] = ()
    config_map_files: tuple[Files, ...] = ()
    claims: tuple[ClaimFolder, ...] = ()
    empty_folders: tuple[EmptyMount, ...] = ()
    ephemeral_folders: tuple[EphemeralMount, ...] = ()
    volumes: Mapping[str, str] = field(default_factory=dict)
    node_selector: Mapping[str, str] | ParameterSource = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Json] | ParameterSource, ...] = ()
    node_affinity: Mapping[str, Json] = field(default_factory=dict)
    node_affinities: tuple[ParameterSource, ...] = ()
    pod_affinity: Mapping[str, Json] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    pull_policy: str = ""
    pull_secrets: tuple[ParameterSource, ...] = ()
    claim_templates: tuple[ParameterSource, ...] = ()
    claim_configurations: tuple[ParameterSource, ...] = ()
    identity: Identity = Identity()
    deadline: int | None = None
    before: tuple[InitContainer, ...] = ()

    def sources(self) -> Iterator[ParameterSource]:
        """Give everything that has to be looked up when the task starts."""
        for variable in (*self.secret_variables, *self.config_map_variables):
            yield variable.name
        for files in (*self.secret_files, *self.config_map_files):
            yield files.name
        for claim in self.claims:
            yield claim.name
        yield from self.node_affinities
        yield from self.pull_secrets
        yield from self.claim_templates
        yield from self.claim_configurations
        for each in (self.node_selector, *self.tolerations):
            if not isinstance(each, Mapping):
                yield each
