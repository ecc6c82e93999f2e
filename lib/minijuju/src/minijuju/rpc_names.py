"""What both ends of the controller's socket must know."""

from __future__ import annotations

SOCKET = "controller.socket"
LOG = "controller.log"
ALREADY_RUNNING = 3
"""The exit code of a controller that found another one on its folder."""
