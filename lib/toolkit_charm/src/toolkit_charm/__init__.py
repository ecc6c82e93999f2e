"""What the charms share: the base class, config, tokens and relation data models."""

from .charm import ToolkitCharm
from .options import Options, OptionsError
from .status import Blocked, Unready, Waiting
from .workload import File, Workload

__all__ = [
    "Blocked",
    "File",
    "Options",
    "OptionsError",
    "ToolkitCharm",
    "Unready",
    "Waiting",
    "Workload",
]
