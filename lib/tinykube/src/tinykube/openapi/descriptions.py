"""What Kubernetes says about its kinds and fields.

The words are those of the package lightkube-models, whose classes carry them as docstrings. Its
files are read as text: importing them would cost tens of MiB for good.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_FIELD = re.compile(r"\s*\* \*\*(\w+)\*\* ``(.*?)`` - ?(.*)")
_TYPE = re.compile(r"(?:(\w+)\.)?(\w+)")
_WRAPPERS = ("Optional[", "List[")


@dataclass(frozen=True, slots=True)
class Model:
    """A class of the package: its module (`core_v1`) and its name (`PodSpec`)."""

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class Described:
    """What is known of a field.

    Attributes:
        text: what it means.
        required: True if an object must have it.
        model: the class of its value, or of its list's items, if it is one.
    """

    text: str
    required: bool
    model: Model | None


class Descriptions:
    """Reads the package's files; each is kept while this object is."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._known: dict[Model, tuple[str, dict[str, Described]]] = {}

    def about(self, model: Model) -> str:
        """What a kind is; empty if nothing is said."""
        return self._read(model)[0]

    def fields(self, model: Model) -> dict[str, Described]:
        """What a kind's fields are."""
        return self._read(model)[1]

    def knows(self, model: Model) -> bool:
        """True if there is such a class."""
        return self._block(model) != ""

    def _read(self, model: Model) -> tuple[str, dict[str, Described]]:
        if model not in self._known:
            self._known[model] = self._parse(model)
        return self._known[model]

    def _parse(self, model: Model) -> tuple[str, dict[str, Described]]:
        block = self._block(model)
        _, _, rest = block.partition('r"""')
        doc = rest.partition('"""')[0]
        about, _, parameters = doc.partition("**parameters**")
        found: dict[str, Described] = {}
        name, kind, lines = "", "", list[str]()
        for line in parameters.splitlines():
            match = _FIELD.fullmatch(line)
            if match is None:
                lines.append(line.strip())
                continue
            if name:
                found[name] = self._described(model, kind, lines)
            name, kind, lines = match[1], match[2], [match[3].strip()]
        if name:
            found[name] = self._described(model, kind, lines)
        return _joined(about.splitlines()), found

    def _described(self, model: Model, kind: str, lines: list[str]) -> Described:
        required = not kind.startswith("Optional[")
        inner = kind
        while inner.startswith(_WRAPPERS):
            inner = inner.partition("[")[2].removesuffix("]")
        match = _TYPE.fullmatch(inner)
        target = Model(match[1] or model.module, match[2]) if match else None
        if target is not None and not self.knows(target):
            target = None
        return Described(_joined(lines), required, target)

    def _block(self, model: Model) -> str:
        text = self._text(model.module)
        start = text.find(f"\nclass {model.name}(")
        if start < 0:
            return ""
        end = text.find("\nclass ", start + 1)
        return text[start : end if end > 0 else len(text)]

    def _text(self, module: str) -> str:
        if module not in self._texts:
            path = _folder() / f"{module}.py"
            self._texts[module] = path.read_text(encoding="utf-8") if path.is_file() else ""
        return self._texts[module]


def _folder() -> Path:
    try:
        found = distribution("lightkube-models").locate_file("lightkube/models")
    except PackageNotFoundError:
        # Documents without descriptions serve as well.
        return Path("/nonexistent")
    return Path(str(found))


def _joined(lines: list[str]) -> str:
    """Lines of a paragraph as one; an empty line parts paragraphs."""
    text = "\n".join(line.strip() for line in lines).strip()
    return "\n\n".join(" ".join(part.split("\n")) for part in re.split(r"\n{2,}", text))
