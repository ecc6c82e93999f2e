from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox import limits


def test_what_cannot_be_looked_into_counts_by_what_all_may_see(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = Path.read_text

    def refuse(self: Path, *arguments: str, **options: str) -> str:
        if self.name == "smaps_rollup":
            raise PermissionError(13, "Permission denied")
        return read(self, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refuse)

    assert limits.proportional([os.getpid()]) > 1 << 20
