import pytest
from hypothesis import given
from hypothesis import strategies as st

from minijuju import constraints
from minijuju.charm import StorageMeta

SIZES = st.integers(0, 10**6)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "mem": SIZES,
        "root-disk": SIZES,
        "cores": st.integers(0, 10**6),
        "arch": st.sampled_from(["amd64", "arm64"]),
        "tags": st.lists(st.from_regex(r"\^?[a-z]+", fullmatch=True), min_size=1),
        "allocate-public-ip": st.booleans(),
        "instance-type": st.from_regex(r"[a-z0-9.]+", fullmatch=True),
    },
)


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([], {}),
        (["  "], {}),
        (["mem=4G cores=2"], {"mem": 4096, "cores": 2}),
        (["mem=1.5G", "arch=arm64"], {"mem": 1536, "arch": "arm64"}),
        (["mem=512"], {"mem": 512}),
        (["mem=1MiB"], {"mem": 1}),
        (["mem=0.5"], {"mem": 1}),
        (["cpu-cores=3"], {"cores": 3}),
        (["tags=a,^b"], {"tags": ["a", "^b"]}),
        (["mem="], {"mem": ""}),
        (["allocate-public-ip=true"], {"allocate-public-ip": True}),
    ],
)
def test_parse(texts, found):
    assert constraints.parse(*texts) == found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("mem", 'malformed constraint "mem"'),
        ("memory=1G", 'unknown constraint "memory"'),
        ("mem=1G mem=2G", 'bad "mem" constraint: already set'),
        ("cores=2 cpu-cores=3", 'bad "cpu-cores" constraint: already set'),
        ("mem=much", 'bad "mem" constraint: must be a non-negative float'),
        ("cores=-1", 'bad "cores" constraint: must be a non-negative integer'),
        ("arch=z80", 'bad "arch" constraint: "z80" not recognized'),
        ("allocate-public-ip=1", "must be 'true' or 'false'"),
        ("mem=" + "9" * 400, "non-negative float"),
    ],
)
def test_parse_refuses(text, problem):
    with pytest.raises(constraints.ConstraintError) as caught:
        constraints.parse(text)
    assert problem in str(caught.value)


@given(VALUES)
def test_what_is_written_is_read_back(values):
    assert constraints.parse(constraints.render(values)) == values


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    try:
        found = constraints.parse(text)
    except constraints.ConstraintError:
        return
    assert constraints.parse(constraints.render(found)) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10G", (None, 10240, None)),
        ("fast", ("fast", None, None)),
        ("fast,10G,2", ("fast", 10240, 2)),
        ("3", (None, None, 3)),
        ("3,1G", (None, 1024, 3)),
    ],
)
def test_storage(text, found):
    directive = constraints.parse_storage(text)
    assert (directive.pool, directive.size, directive.count) == found


@pytest.mark.parametrize("text", ["", "10G,fast", "1,2", "1G,2G", "0", "a b", "-1", "fast,"])
def test_storage_refuses(text):
    with pytest.raises(constraints.ConstraintError, match="storage directive"):
        constraints.parse_storage(text)


def test_storage_counts():
    meta = StorageMeta("data", "filesystem", minimum=1, maximum=2)
    constraints.check_storage(meta, constraints.parse_storage("2"))
    constraints.check_storage(meta, constraints.parse_storage("1G"))
    with pytest.raises(constraints.ConstraintError, match="at most 2 instances supported"):
        constraints.check_storage(meta, constraints.parse_storage("3"))
    needy = StorageMeta("data", "filesystem", minimum=2, maximum=None)
    with pytest.raises(constraints.ConstraintError, match="2 instances required"):
        constraints.check_storage(needy, constraints.parse_storage("1"))


def test_storage_is_of_the_one_pool_and_large_enough():
    meta = StorageMeta("data", "filesystem", minimum_size="2G")
    for text in ("kubernetes,3G", "2G", "kubernetes", "2048M,1"):
        constraints.check_storage(meta, constraints.parse_storage(text))
    with pytest.raises(constraints.ConstraintError, match='pool "ebs" not found'):
        constraints.check_storage(meta, constraints.parse_storage("ebs,3G"))
    with pytest.raises(constraints.ConstraintError, match="minimum storage size is 2048 MiB"):
        constraints.check_storage(meta, constraints.parse_storage("1G"))


def metas(**changes):
    return {
        "data": StorageMeta("data", "filesystem", **{"minimum": 0, "maximum": 2, **changes}),
        "must": StorageMeta("must", "filesystem", "/must"),
    }


@pytest.mark.parametrize("after", [metas(), metas(maximum=None), metas(maximum=3, minimum=2)])
def test_storage_may_grow(after):
    constraints.check_storage_change(metas(), after, {"data", "must"})


def test_storage_that_nobody_has_may_go():
    after = {"must": metas()["must"], "new": StorageMeta("new", "filesystem")}
    constraints.check_storage_change(metas(), after, {"must"})


@pytest.mark.parametrize(
    ("after", "problem"),
    [
        ({"must": metas()["must"]}, 'in-use storage "data" removed'),
        ({"data": metas()["data"]}, 'required storage "must" removed'),
        (metas(read_only=True), "read-only changed from false to true"),
        (metas(location="/x"), 'location changed from "" to "/x"'),
        (metas(maximum=1), "range contracted: max decreased from 2 to 1"),
        (
            {**metas(), "must": StorageMeta("must", "filesystem", "/must", maximum=2)},
            "with location changed from single to multiple",
        ),
    ],
)
def test_storage_in_use_stays_where_it_is(after, problem):
    with pytest.raises(constraints.ConstraintError, match=problem):
        constraints.check_storage_change(metas(), after, {"data", "must"})


def test_pairs():
    assert constraints.pairs(["a=b=c", "d="], "--x") == {"a": "b=c", "d": ""}
    for words in (["a"], ["=b"], ["a=1", "a=2"]):
        with pytest.raises(constraints.ConstraintError, match="--x"):
            constraints.pairs(words, "--x")
