"""Pods: their shape, their defaults and the rules that a new one must keep."""

from tinykube.podspec.defaults import (
    TOKEN_FOLDER,
    containers,
    default,
    demand,
    mount_token,
    quality,
)
from tinykube.podspec.shape import SHAPE, SOURCES
from tinykube.podspec.validation import changed, host_path, validate

__all__ = [
    "SHAPE",
    "SOURCES",
    "TOKEN_FOLDER",
    "changed",
    "containers",
    "default",
    "demand",
    "host_path",
    "mount_token",
    "quality",
    "validate",
]
