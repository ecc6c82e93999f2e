"""PostgreSQL, used the same way by every image."""

from .connections import arguments, engine, url, watch, words
from .copying import copy
from .login import Login, LoginError

__all__ = ["Login", "LoginError", "arguments", "copy", "engine", "url", "watch", "words"]
