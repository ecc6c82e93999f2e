from pathlib import Path

import pytest

from minijuju import documents


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2024-01-02", {"a": "2024-01-02"}),
        ("a: 1e3", {"a": 1000.0}),
        ("a: 1:30", {"a": "1:30"}),
        ("a: 0o17", {"a": 15}),
        ("a: 0x1F", {"a": 31}),
        ("a: -5", {"a": -5}),
        ("a: 1_000", {"a": 1000}),
        ("a: 24.04", {"a": 24.04}),
        ("a: 1.2.3", {"a": "1.2.3"}),
        ("a: yes", {"a": True}),
        ("a: ~", {"a": None}),
        ("", None),
        ("x: &x {p: 1}\ny: {<<: *x, q: 2}", {"x": {"p": 1}, "y": {"p": 1, "q": 2}}),
        ("x: &x {p: 1}\ny: {<<: *x, p: 2}", {"x": {"p": 1}, "y": {"p": 2}}),
    ],
)
def test_scalars_are_those_of_go_yaml(text, value):
    assert documents.load(text, "t") == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2", "key 'a' appears twice"),
        ("a: [", "not valid YAML"),
        ("a: !!python/object/apply:os.system [ls]", "not valid YAML"),
        ("[" * 100 + "]" * 100, "nested more than"),
        ("- " * 100 + "x", "nested more than"),
        ("a: &a [*a]", "alias that contains itself"),
        ("a\0b: c", "not valid YAML"),
        ("a: b\n---\nc: d", "expected one YAML document, found 2"),
        ("? [a]\n: b", "a key must be a scalar"),
        ("a: " + "1" * 5000, "more than 4000 digits"),
        ("x" * (documents.MAX_BYTES + 1), "bytes of YAML"),
        (b"\xff\xfe\xfa", "not valid YAML"),
    ],
)
def test_bad_documents_are_refused(text, problem):
    with pytest.raises(documents.DocumentError, match=r"^where: ") as caught:
        documents.load(text, "where")
    assert problem in str(caught.value)


def test_an_alias_bomb_is_refused_before_it_expands():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    with pytest.raises(documents.DocumentError, match="once aliases are expanded"):
        documents.load("\n".join(lines), "bomb")


def test_every_document_of_a_stream():
    assert documents.load_all("a: 1\n---\nb: 2\n", "t") == [{"a": 1}, {"b": 2}]


def test_files_are_bounded(tmp_path: Path):
    path = tmp_path / "big.yaml"
    path.write_bytes(b"#" * 20)
    assert documents.read_bytes(path, 20) == b"#" * 20
    with pytest.raises(documents.DocumentError, match="more than 19 bytes"):
        documents.read_bytes(path, 19)
    with pytest.raises(documents.DocumentError, match="cannot be read: No such file"):
        documents.read(tmp_path / "missing.yaml")


def test_dump_reads_back_without_anchors():
    shared = ["x"]
    value = {"b": shared, "a": shared, "t": "two\nlines\n", "é": "1"}
    text = documents.dump(value)
    assert "&" not in text
    assert documents.load(text, "t") == value
