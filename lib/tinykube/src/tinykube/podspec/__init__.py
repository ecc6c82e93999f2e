"""Pods: their shape, their defaults and the rules that a new one must keep."""

from tinykube.podspec.claims import SPEC as CLAIM_SPEC
from tinykube.podspec.claims import claimed, ephemeral, made_for, of_volume
from tinykube.podspec.defaults import (
    TOKEN_FOLDER,
    asked_name,
    containers,
    default,
    default_template,
    demand,
    mount_token,
    quality,
)
from tinykube.podspec.placement import GATED, LABEL_SELECTOR, taints, tolerate_outage
from tinykube.podspec.shape import SHAPE, SOURCES
from tinykube.podspec.unmet import in_memory, unmet
from tinykube.podspec.validation import changed, host_path, template_faults, validate
from tinykube.podspec.warnings import of_name, warnings

__all__ = [
    "CLAIM_SPEC",
    "GATED",
    "LABEL_SELECTOR",
    "SHAPE",
    "SOURCES",
    "TOKEN_FOLDER",
    "asked_name",
    "changed",
    "claimed",
    "containers",
    "default",
    "default_template",
    "demand",
    "ephemeral",
    "host_path",
    "in_memory",
    "made_for",
    "mount_token",
    "of_name",
    "of_volume",
    "quality",
    "taints",
    "template_faults",
    "tolerate_outage",
    "unmet",
    "validate",
    "warnings",
]
