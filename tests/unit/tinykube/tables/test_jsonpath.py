import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinykube.tables import jsonpath

OBJECT = {
    "metadata": {"annotations": {"a.b/c": "dotted", "plain": "p"}},
    "spec": {"replicas": 3, "names": ["x", "y", "z"], "none": None},
    "status": {
        "conditions": [
            {"type": "Ready", "status": "True", "n": 1},
            {"type": "Done", "status": "False", "n": 2},
            {"type": "Odd", "n": 2},
        ]
    },
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.replicas", [3]),
        (".spec.absent.deeper", []),
        (".spec.replicas.deeper", []),
        (r".metadata.annotations.a\.b/c", ["dotted"]),
        (".metadata.annotations['a.b/c']", ["dotted"]),
        ('.metadata.annotations["plain"]', ["p"]),
        (".spec.names[0]", ["x"]),
        (".spec.names[-1]", ["z"]),
        (".spec.names[7]", []),
        (".spec.names[*]", ["x", "y", "z"]),
        (".spec.names[1:]", ["y", "z"]),
        (".spec.names[:1]", ["x"]),
        (".metadata.annotations.*", ["dotted", "p"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='Done')].status", ["False"]),
        (".status.conditions[?(@.type!='Done')].type", ["Ready", "Odd"]),
        (".status.conditions[?(@.n==2)].type", ["Done", "Odd"]),
        (".status.conditions[?(@.status)].type", ["Ready", "Done"]),
        (".status.conditions[*].type", ["Ready", "Done", "Odd"]),
        (".", [OBJECT]),
    ],
)
def test_a_path_finds(path, found):
    assert jsonpath.find(path, OBJECT) == found


@pytest.mark.parametrize("path", ["spec", ".spec[", ".spec[?(x)]", "..spec", ".a.", ".a b[", "$"])
def test_what_is_no_path(path):
    with pytest.raises(jsonpath.PathError):
        jsonpath.find(path, OBJECT)


@given(st.text(alphabet=".[]?(@='\"*ab0\\:", max_size=20))
def test_any_text_is_a_path_or_refused(path):
    with contextlib.suppress(jsonpath.PathError):
        jsonpath.find(path, OBJECT)
