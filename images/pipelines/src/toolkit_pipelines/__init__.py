"""The pipelines service: the KFP v2beta1 API and the engine that runs its pipelines as pods."""

__version__ = "0.1.0"
