"""Settings as they are typed: of `config`, `model-config` and `deploy --config`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .verb import CommandError


def read_config(words: Sequence[str], application: str) -> dict[str, Any]:
    """Settings from `--config`: `key=value`, `key=@file`, or a YAML file.

    A file maps options to values, or applications to such mappings.
    """
    found: dict[str, Any] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if separator and key:
            if value.startswith("@"):
                value = _text(Path(value[1:]))
            found[key] = value
            continue
        # Most words are no file, and YAML is more to load than all the rest.
        from minijuju import documents

        data = documents.read(Path(word))
        if not isinstance(data, dict):
            raise CommandError(f"{word}: expected a mapping of options to values")
        section = data.get(application, data)
        if not isinstance(section, dict):
            raise CommandError(f"{word}: {application}: expected a mapping of options to values")
        found.update(section)
    return found


def _text(path: Path) -> str:
    from minijuju import documents, options

    data = documents.read_bytes(path, options.MAX_LENGTH)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise CommandError(f"{path}: not UTF-8 text") from None
