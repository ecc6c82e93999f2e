import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinykube import names


@pytest.mark.parametrize("name", ["a", "a-b", "0", "a" * 63])
def test_labels(name):
    assert not names.label_fault(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a.b", "a_b", "a" * 64, "a\n", "ä", "../x"])
def test_no_labels(name):
    assert names.label_fault(name)


@pytest.mark.parametrize("name", ["a.b", "a", "a" * 253])
def test_subdomains(name):
    assert not names.subdomain_fault(name)


@pytest.mark.parametrize("name", ["", "a..b", ".a", "a/b", "a\0", "a" * 254, "../../etc"])
def test_no_subdomains(name):
    assert names.subdomain_fault(name)


@pytest.mark.parametrize("key", ["a", "example.com/Name_1.x", "a" * 63])
def test_label_keys(key):
    assert not names.label_key_faults(key)


@pytest.mark.parametrize("key", ["", "/a", "a/", "a/b/c", "-a", "a" * 64, "x" * 300 + "/a"])
def test_no_label_keys(key):
    assert names.label_key_faults(key)


@pytest.mark.parametrize(
    ("key", "faults"),
    [
        ("", ["name part must be non-empty", "name part must consist of"]),
        ("/a", ["prefix part must be non-empty"]),
        ("A_B/-", ["prefix part a lowercase RFC 1123 subdomain", "name part must consist of"]),
        ("a/b/c", ["a valid label key must consist of"]),
        ("a" * 64, ["name part must be no more than 63 bytes"]),
    ],
)
def test_all_that_is_wrong_with_a_label_key_is_told(key, faults):
    found = names.label_key_faults(key)
    assert len(found) == len(faults)
    assert all(one.startswith(words) for one, words in zip(found, faults, strict=True))


@pytest.mark.parametrize("value", ["-a", "a" * 64, "a b"])
def test_no_label_values(value):
    assert names.label_value_faults(value)


@pytest.mark.parametrize("key", ["", "a/b", "..", ".", "..x", "a b", "a\0"])
def test_no_config_keys(key):
    assert names.config_key_fault(key)


@pytest.mark.parametrize("name", ["system:admin", "a b"])
def test_path_segments(name):
    assert not names.segment_fault(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a%2f"])
def test_no_path_segments(name):
    assert names.segment_fault(name)


@given(st.from_regex(r"[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?-", fullmatch=True))
def test_generated_names_are_names(prefix):
    name = names.generate(prefix)
    assert not names.label_fault(name)
    assert name.startswith(prefix[:58])


def test_versions_are_sorted_as_clients_prefer_them():
    wanted = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2"]
    wanted += ["foo1", "foo10"]
    shuffled = wanted[::-1]
    assert sorted(shuffled, key=names.version_rank) == wanted
