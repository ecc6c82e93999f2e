"""Pods: their shape, their defaults and the rules that a new one must keep."""

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
from tinykube.podspec.placement import GATED, taints, tolerate_outage
from tinykube.podspec.shape import SHAPE, SOURCES
from tinykube.podspec.validation import changed, host_path, template_faults, validate
from tinykube.podspec.warnings import of_name, warnings

__all__ = [
    "GATED",
    "SHAPE",
    "SOURCES",
    "TOKEN_FOLDER",
    "asked_name",
    "changed",
    "containers",
    "default",
    "default_template",
    "demand",
    "host_path",
    "mount_token",
    "of_name",
    "quality",
    "taints",
    "template_faults",
    "tolerate_outage",
    "validate",
    "warnings",
]
