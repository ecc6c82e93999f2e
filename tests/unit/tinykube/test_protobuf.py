"""Kubernetes' protobuf as JSON; Google's own encoder is the judge."""

from __future__ import annotations

import base64
import contextlib
import json
from importlib import resources

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from tinykube import protobuf
from tinykube.protobuf import WireError

TABLE = json.loads(resources.files("tinykube.protobuf").joinpath("fields.json").read_text())
FIELD = descriptor_pb2.FieldDescriptorProto
SCALARS = {
    "str": FIELD.TYPE_STRING, "bool": FIELD.TYPE_BOOL, "int": FIELD.TYPE_INT64,
    "bytes": FIELD.TYPE_BYTES, "float": FIELD.TYPE_DOUBLE,
}  # fmt: skip
SPECIAL = {
    "time": [("seconds", 1, "int"), ("nanos", 2, "int")],
    "micro-time": [("seconds", 1, "int"), ("nanos", 2, "int")],
    "quantity": [("string", 1, "str")],
    "int-or-string": [("type", 1, "int"), ("intVal", 2, "int"), ("strVal", 3, "str")],
    "raw": [("raw", 1, "bytes")],
    "json": [("Raw", 1, "bytes")],
}


def flat(name):
    return name.replace("/", "_").replace(".", "_").replace("-", "_")


def pool():
    """Google's descriptors of every message of the table."""
    file = descriptor_pb2.FileDescriptorProto(name="all", package="k", syntax="proto2")
    known = {name: [(f"f{n}", int(n), t) for n, (_, t) in fields.items()]
             for name, fields in TABLE["messages"].items()}  # fmt: skip
    known |= SPECIAL
    known["Unknown"] = [("typeMeta", 1, "TypeMeta"), ("raw", 2, "bytes"), ("again", 3, "str")]
    known["TypeMeta"] = [("apiVersion", 1, "str"), ("kind", 2, "str")]
    for name, fields in known.items():
        message = file.message_type.add(name=flat(name))
        for field, number, spec in fields:
            made = message.field.add(name=field, number=number, label=FIELD.LABEL_OPTIONAL)
            bare = spec.lstrip("[]{}?!")
            if spec.startswith("{}"):
                entry = message.nested_type.add(name=f"{field.title()}Entry")
                entry.options.map_entry = True
                for part, place, kind in (("key", 1, "str"), ("value", 2, bare)):
                    fill(
                        entry.field.add(name=part, number=place, label=FIELD.LABEL_OPTIONAL), kind
                    )
                made.type = FIELD.TYPE_MESSAGE
                made.type_name = f".k.{flat(name)}.{entry.name}"
                made.label = FIELD.LABEL_REPEATED
                continue
            if spec.startswith("[]"):
                made.label = FIELD.LABEL_REPEATED
            fill(made, bare)
    found = descriptor_pool.DescriptorPool()
    found.Add(file)
    return found


def fill(field, kind):
    field.type = SCALARS.get(kind, FIELD.TYPE_MESSAGE)
    if kind not in SCALARS:
        field.type_name = f".k.{flat(kind)}"


POOL = pool()


def new(name):
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"k.{flat(name)}"))()


def numbers(name):
    return {shown: int(number) for number, (shown, _) in TABLE["messages"][name].items()}


def enveloped(version, kind, message, again=""):
    outer = new("Unknown")
    outer.typeMeta.apiVersion, outer.typeMeta.kind = version, kind
    outer.raw = message.SerializeToString()
    if again:
        outer.again = again
    return b"k8s\0" + outer.SerializeToString()


def put(message, name, value, spec):
    """Set a field of Google's message to what `value`, in JSON, stands for."""
    bare = spec.lstrip("[]{}?!")
    if spec.startswith("[]"):
        for item in value:
            if bare in SCALARS:
                getattr(message, name).append(wired(item, bare))
            else:
                encode(getattr(message, name).add(), item, bare)
    elif spec.startswith("{}"):
        for key, item in value.items():
            if bare in SCALARS:
                getattr(message, name)[key] = wired(item, bare)
            else:
                encode(getattr(message, name)[key], item, bare)
    elif bare in SCALARS:
        setattr(message, name, wired(value, bare))
    else:
        inner = getattr(message, name)
        inner.SetInParent()
        encode(inner, value, bare)


def wired(value, kind):
    return base64.b64decode(value) if kind == "bytes" else value


def encode(message, value, kind):
    match kind:
        case "quantity":
            message.string = value
        case "int-or-string":
            message.type = int(isinstance(value, str))
            if isinstance(value, str):
                message.strVal = value
            else:
                message.intVal = value
        case "time" | "micro-time":
            message.seconds, message.nanos = 1_767_225_600, 0
        case "raw":
            message.raw = json.dumps(value).encode()
        case "json":
            message.Raw = json.dumps(value).encode()
        case _:
            for number, (shown, spec) in TABLE["messages"][kind].items():
                if not shown:
                    put(message, f"f{number}", value, spec)
                elif shown in value:
                    put(message, f"f{number}", value[shown], spec)


TEXT = st.text(max_size=8)
VALUES = {
    "str": TEXT.filter(bool), "bool": st.booleans(), "float": st.floats(allow_nan=False),
    "int": st.integers(-(2**63), 2**63 - 1), "quantity": st.sampled_from(["1", "500m", "2Gi"]),
    "bytes": st.binary(min_size=1, max_size=8).map(lambda b: base64.b64encode(b).decode()),
    "time": st.just("2026-01-01T00:00:00Z"),
    "micro-time": st.just("2026-01-01T00:00:00.000000Z"),
    "int-or-string": st.integers(-9, 9) | TEXT,
    "raw": st.just({"a": [1]}), "json": st.just({"f:a": {}}),
}  # fmt: skip


@st.composite
def objects(draw, name, depth):
    found = {}
    for shown, spec in TABLE["messages"][name].values():
        bare = spec.lstrip("[]{}?!")
        if "/" in bare and depth == 0:
            continue
        if not shown:
            found |= draw(objects(bare, depth - 1))
            continue
        if not draw(st.booleans()):
            continue
        one = VALUES[bare] if bare in VALUES else objects(bare, depth - 1)
        if spec.startswith("[]"):
            found[shown] = draw(st.lists(one, min_size=1, max_size=2))
        elif spec.startswith("{}"):
            found[shown] = draw(st.dictionaries(TEXT, one, min_size=1, max_size=2))
        else:
            value = draw(one)
            # Zero of what is no pointer is as good as nothing, in Go as here.
            if value or spec[0] in "?!" or bare not in VALUES:
                found[shown] = value
    return found


KINDS = [("v1", "Pod"), ("batch/v1", "Job"), ("v1", "Service"), ("v1", "Secret"), ("v1", "Event"),
         ("rbac.authorization.k8s.io/v1", "RoleBinding"), ("apps/v1", "Deployment")]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(KINDS))
def test_what_google_encodes_is_read(data, kind):
    version, name = kind
    message = f"{TABLE['groups'][version]}.{name}"
    wanted = data.draw(objects(message, 3))
    made = new(message)
    encode(made, wanted, message)
    assert protobuf.decode(enveloped(version, name, made)) == {
        "apiVersion": version, "kind": name, **wanted,
    }  # fmt: skip


def test_zeros_that_nobody_set_are_left_out_and_pointers_to_zero_are_not():
    job = new("batch/v1.Job")
    spec = getattr(job, f"f{numbers('batch/v1.Job')['spec']}")
    setattr(spec, f"f{numbers('batch/v1.JobSpec')['parallelism']}", 0)
    meta = getattr(job, f"f{numbers('batch/v1.Job')['metadata']}")
    for name, value in (("name", "a"), ("namespace", ""), ("generation", 0)):
        setattr(meta, f"f{numbers('meta/v1.ObjectMeta')[name]}", value)
    getattr(meta, f"f{numbers('meta/v1.ObjectMeta')['creationTimestamp']}").SetInParent()
    assert protobuf.decode(enveloped("batch/v1", "Job", job)) == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "a"},
        "spec": {"parallelism": 0},
    }


def test_options_of_a_deletion_belong_to_every_group():
    options = new("meta/v1.DeleteOptions")
    setattr(options, f"f{numbers('meta/v1.DeleteOptions')['gracePeriodSeconds']}", 0)
    found = protobuf.decode(enveloped("batch/v1", "DeleteOptions", options))
    assert found["gracePeriodSeconds"] == 0


def test_fields_of_newer_clients_are_passed_over():
    body = enveloped("v1", "ConfigMap", new("core/v1.ConfigMap"))
    more = new("Unknown")
    more.ParseFromString(body[4:])
    more.raw += b"\xf8\x3f\x01"  # field 1023, a number
    assert protobuf.decode(b"k8s\0" + more.SerializeToString()) == {
        "apiVersion": "v1", "kind": "ConfigMap",
    }  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"k8s\0\xff", b"k8s\0\x0a\xff", b"k8s\0\x0b", b"k8s\0" + b"\xff" * 20,
     enveloped("v1", "Nothing", new("core/v1.Pod")),
     enveloped("example.com/v1", "Pod", new("core/v1.Pod")),
     enveloped("v1", "Pod", new("core/v1.Pod"), again="gzip")],
)  # fmt: skip
def test_what_cannot_be_read_is_told(body):
    with pytest.raises(WireError):
        protobuf.decode(body)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data):
    for body in (b"k8s\0" + data, enveloped("v1", "Pod", new("core/v1.Pod"))[:-2] + data):
        with contextlib.suppress(WireError):
            protobuf.decode(body)


def test_no_message_holds_one_of_its_own_kind():
    inside = {
        name: {spec.lstrip("[]{}?!") for _, spec in fields.values()} & TABLE["messages"].keys()
        for name, fields in TABLE["messages"].items()
    }

    def walk(name, above):
        assert name not in above
        for inner in inside[name]:
            walk(inner, {*above, name})

    for name in inside:
        walk(name, set())
