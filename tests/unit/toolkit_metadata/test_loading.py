"""While libraries load nothing is collected; afterwards all is as before."""

import gc

import pytest

from toolkit_metadata.loading import uncollected


@pytest.fixture(autouse=True)
def thawed():
    yield
    gc.unfreeze()


def test_what_was_loaded_is_left_out_of_later_collections():
    before = gc.get_freeze_count()
    with uncollected():
        assert not gc.isenabled()
        kept = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(kept)


def test_an_error_leaves_the_collector_on():
    with pytest.raises(ImportError), uncollected():
        raise ImportError("a library")
    assert gc.isenabled()
