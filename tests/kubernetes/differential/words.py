"""The words that bodies are made of: few, so that requests meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

JSON = Any

NAMES = ("a", "b", "c.d")
LABELS = st.dictionaries(
    st.sampled_from(["app", "tier", "example.com/x"]), st.sampled_from(["one", "two", ""])
)
WORDS = st.sampled_from(["", "x", "two words", "ünï", "1", "true", "line\nline"])
KEYS = st.sampled_from(["k", "l.m", "N_o-p"])
RBAC = "rbac.authorization.k8s.io"
