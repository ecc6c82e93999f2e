"""The API over HTTP: who asks, may they, and what they get."""

from tinykube.api.app import Api
from tinykube.api.context import Context
from tinykube.api.gate import OPEN

__all__ = ["OPEN", "Api", "Context"]
