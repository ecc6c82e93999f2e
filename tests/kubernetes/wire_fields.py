"""The numbers of Kubernetes' protobuf fields, as the Go types of its modules give them.

`python -m tests.kubernetes.wire_fields` writes `tinykube/protobuf/fields.json`;
`test_wire_fields.py` holds that file against the modules. The numbers are a contract that never
changes: fields are only ever added.

The file maps a message (`core/v1.Pod`) to its fields: `{number: [name, type]}`. A type is `str`,
`int`, `bool`, `bytes`, `float`, `time`, `micro-time`, `quantity`, `int-or-string`, `raw`, `json`
or the name of a message; before it stand `[]` (repeated), `{}` (a map from strings), `?` (a
pointer) or `!` (a value that JSON never omits): of these zero is told from nothing. A name that is
empty is an embedded struct, whose fields are the message's own.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from tests.kubernetes import programs

from minijuju import golang

MODULE = programs.PROGRAMS["controlplane"].module
TABLE = (
    Path(__file__).parents[2] / "lib/tinykube/src/tinykube/protobuf/fields.json"
)  # fmt: skip
# The groups by their names in apiVersion, with the folders of their types.
GROUPS = {
    "v1": "core/v1",
    "apps/v1": "apps/v1",
    "authentication.k8s.io/v1": "authentication/v1",
    "authorization.k8s.io/v1": "authorization/v1",
    "autoscaling/v1": "autoscaling/v1",
    "batch/v1": "batch/v1",
    "coordination.k8s.io/v1": "coordination/v1",
    "discovery.k8s.io/v1": "discovery/v1",
    "events.k8s.io/v1": "events/v1",
    "meta.k8s.io/v1": "meta/v1",
    "networking.k8s.io/v1": "networking/v1",
    "node.k8s.io/v1": "node/v1",
    "policy/v1": "policy/v1",
    "rbac.authorization.k8s.io/v1": "rbac/v1",
    "scheduling.k8s.io/v1": "scheduling/v1",
    "storage.k8s.io/v1": "storage/v1",
}
# What is sent by itself, in any group.
ALONE = ("DeleteOptions", "Scale", "Eviction", "Binding", "TokenRequest")
_SCALARS = {
    "string": "str", "bool": "bool", "int32": "int", "int64": "int", "int": "int",
    "uint8": "int", "float64": "float", "byte": "int",
}  # fmt: skip
_SPECIAL = {
    "meta/v1.Time": "time",
    "meta/v1.MicroTime": "micro-time",
    "meta/v1.FieldsV1": "json",
    "resource.Quantity": "quantity",
    "intstr.IntOrString": "int-or-string",
    "runtime.RawExtension": "raw",
}
_TYPE = re.compile(r"^type (\w+)(?: struct \{| (.+))$")
_FIELD = re.compile(r"^\t(?:(\w+)\s+)?(\S+)\s+`(.*)`")


class Types:
    """The structs and named types of some packages: `core/v1.Pod`."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self.structs: dict[str, list[tuple[str, str, str]]] = {}
        self.named: dict[str, str] = {}
        for package, folder in folders.items():
            for file in sorted(folder.glob("*.go")):
                if "zz_generated" not in file.name and not file.name.endswith("_test.go"):
                    self._read(package, file)

    def _read(self, package: str, file: Path) -> None:
        inside = ""
        for line in file.read_text().splitlines():
            if match := _TYPE.match(line):
                name, other = match.groups()
                if other is None:
                    inside = f"{package}.{name}"
                    self.structs[inside] = []
                else:
                    self.named[f"{package}.{name}"] = other.split("//")[0].strip()
            elif line == "}":
                inside = ""
            elif inside and (match := _FIELD.match(line)) and "protobuf:" in match.group(3):
                self.structs[inside].append((match.group(1) or "", match.group(2), match.group(3)))

    def message(self, name: str) -> tuple[dict[str, list[str]], set[str]]:
        """A message's fields, and the messages that they are of."""
        fields: dict[str, list[str]] = {}
        used: set[str] = set()
        package = name.partition(".")[0]
        for _, type_, tags in self.structs[name]:
            wire = re.search(r'protobuf:"([^"]*)"', tags)
            json_tag = re.search(r'json:"([^"]*)"', tags)
            assert wire, (name, tags)
            assert json_tag, (name, tags)
            number = wire.group(1).split(",")[1]
            shown, _, options = json_tag.group(1).partition(",")
            if shown == "-":
                continue
            spec = self._spec(type_, package)
            if spec in _SCALARS.values() and "omitempty" not in options:
                spec = f"!{spec}"
            bare = spec.lstrip("[]{}?!")
            if "/" in bare:
                used.add(bare)
            fields[number] = ["" if "inline" in options and not shown else shown, spec]
        return fields, used

    def _spec(self, type_: str, package: str) -> str:
        if type_.startswith("*"):
            inner = self._spec(type_[1:], package)
            return inner if inner[:1] in "[{" else f"?{inner}"
        if type_ == "[]byte":
            return "bytes"
        if type_.startswith("[]"):
            return "[]" + self._spec(type_[2:], package)
        if match := re.fullmatch(r"map\[[\w.]+\](.+)", type_):
            return "{}" + self._spec(match.group(1), package)
        if type_ in _SCALARS:
            return _SCALARS[type_]
        full = self._qualified(type_, package)
        if full in _SPECIAL:
            return _SPECIAL[full]
        if full in self.structs:
            return full
        return self._spec(self.named[full], full.rpartition(".")[0])

    @staticmethod
    def _qualified(type_: str, package: str) -> str:
        if "." not in type_:
            return f"{package}.{type_}"
        alias, _, name = type_.partition(".")
        known = {"v1": "core/v1", "apiv1": "core/v1"}
        package = re.sub(r"^([a-z]+)(v\d\w*)$", r"\1/\2", alias)
        return f"{known.get(alias, package)}.{name}"


def table() -> dict[str, object]:
    """What `fields.json` has to hold."""
    with tempfile.TemporaryDirectory(prefix="go-") as scratch:
        go = golang.toolchain(MODULE, Path(scratch))
        api = programs.source(go, MODULE, "k8s.io/api")
        machinery = programs.source(go, MODULE, "k8s.io/apimachinery") / "pkg"
    folders = {"/".join(path.parts[-2:]): path for path in sorted(api.glob("*/v*"))}
    folders |= {
        "meta/v1": machinery / "apis/meta/v1",
        "types": machinery / "types",
        "resource": machinery / "api/resource",
        "intstr": machinery / "util/intstr",
        "runtime": machinery / "runtime",
    }
    types = Types(folders)
    top = [
        name
        for name, fields in types.structs.items()
        if name.partition(".")[0] in GROUPS.values()
        and not name.endswith("List")
        and (
            any('json:"metadata' in tags for _, _, tags in fields)
            or name.partition(".")[2] in ALONE
        )
    ]
    messages: dict[str, dict[str, list[str]]] = {}
    wanted = set(top)
    while wanted:
        name = wanted.pop()
        messages[name], used = types.message(name)
        wanted |= used - messages.keys()
    return {"groups": GROUPS, "messages": dict(sorted(messages.items()))}


def text() -> str:
    """The file, one message a line."""
    found = table()
    lines = [
        f"{json.dumps(name)}:{json.dumps(fields, separators=(',', ':'))}"
        for name, fields in found["messages"].items()  # type: ignore[attr-defined]
    ]
    groups = json.dumps(found["groups"], separators=(",", ":"))
    return f'{{"groups":{groups},\n"messages":{{\n' + ",\n".join(lines) + "\n}}\n"


if __name__ == "__main__":
    TABLE.write_text(text())
