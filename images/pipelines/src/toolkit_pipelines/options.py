"""How the engine runs steps: what the settings say, as the engine wants it."""

from __future__ import annotations

from dataclasses import dataclass, field

from toolkit_jobs import SecretKey

from .imagemap import ImageMap
from .steps import Exchange, StepTokens


@dataclass(frozen=True, slots=True)
class Tracking:
    """Where steps find MLflow.

    Attributes:
        uri: its address, as pods reach it.
        token: the secret that holds its token, or None.
    """

    uri: str
    token: SecretKey | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """What steps without a shared volume are told.

    Attributes:
        address: where they reach this service, `http://HOST:PORT`.
        tokens: make a token for each attempt.
        exchange: has what steps send and have not committed.
        part_size: how much of a file goes at once to where outputs are kept, in bytes; 0 for all.
        certificates: authorities to trust there besides the image's own, as PEM; "" for none.
    """

    address: str
    tokens: StepTokens
    exchange: Exchange
    part_size: int = 0
    certificates: str = ""


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """Which executions others may be given the outputs of.

    Attributes:
        ttl: seconds since they ended; 0 for however many.
    """

    ttl: float = 0.0


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How the engine runs steps.

    Attributes:
        step_image: the image that holds the launcher.
        claim: the claim of the pipeline root's volume.
        environments_claim: the claim of the environments volume.
        parallelism: most pods of steps at a time.
        run_parallelism: most of them for one run.
        tracking: where steps find MLflow, or None.
        transfer: how files get to steps and back that mount no volume; None if they mount it.
        reserved_labels: what marks objects of the namespace that steps may not read (see
            `reserved`).
        images: which images steps have in place of those that their pipelines name.
        cache: what is taken from the cache; None takes nothing and keeps nothing there.
        gpu_resource: what a GPU is asked for as whose type a task leaves open.
        pull_patience: seconds an image may fail to be pulled before its task has failed.
    """

    step_image: str
    claim: str
    environments_claim: str
    parallelism: int = 64
    run_parallelism: int = 32
    tracking: Tracking | None = None
    transfer: Transfer | None = None
    reserved_labels: tuple[str, ...] = ()
    images: ImageMap = field(default_factory=ImageMap)
    cache: CacheOptions | None = None
    gpu_resource: str = "nvidia.com/gpu"
    pull_patience: float = 120.0

    @property
    def claims(self) -> tuple[str, ...]:
        """The service's own claims."""
        return tuple(each for each in (self.claim, self.environments_claim) if each)
