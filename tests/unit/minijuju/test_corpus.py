"""minijuju takes and refuses what Juju does, over a corpus of bundles and charms.

That the corpus says of Juju what is true is held by tests/functional/minijuju/test_judge.py.
"""

import pytest
from tests.corpus import cases

from minijuju import bundle
from minijuju.charm import Charm, CharmError
from minijuju.charm_store import CharmStore


def named(found):
    return [pytest.param(case, id=case.name) for case in found]


@pytest.mark.parametrize("case", named(cases.bundles()))
def test_bundles(case, tmp_path):
    files = cases.lay_out_bundle(case, tmp_path)
    store = tmp_path / "store"
    store.mkdir()
    for name, path in files.store.items():
        (store / name).symlink_to(path)
    if case.minijuju == cases.ACCEPTS:
        loaded = bundle.load(files.bundle, files.overlays, store=CharmStore(store))
        assert bool(loaded.ignored) == bool(case.ignores)
        return
    with pytest.raises(bundle.BundleError) as caught:
        bundle.load(files.bundle, files.overlays, store=CharmStore(store))
    assert case.minijuju in str(caught.value)


@pytest.mark.parametrize("case", named(cases.charms()))
def test_charms(case, tmp_path):
    folder = cases.lay_out_charm(case, tmp_path)
    if case.minijuju == cases.ACCEPTS:
        Charm.load(folder)
        return
    with pytest.raises(CharmError) as caught:
        Charm.load(folder)
    assert case.minijuju in str(caught.value)


def test_every_difference_has_its_reason():
    for case in (*cases.bundles(), *cases.charms()):
        assert bool(case.why) == case.differs, case.name
