from dataclasses import replace

from tinykube import kinds
from tinykube.catalog import Catalog

ONE = replace(kinds.CONFIG_MAPS, group="example.com", version="v1", plural="things", kind="Thing")
TWO = replace(ONE, version="v2")


def test_built_in_kinds_are_found_in_every_way():
    catalog = Catalog()
    for item in kinds.STORED:
        assert catalog.by_path(item.group, item.version, item.plural) is item
        assert catalog.by_kind(item.api_version, item.kind) is item
        assert catalog.by_key(item.key) is item
    assert set(catalog.stored()) == set(kinds.STORED)
    assert set(catalog) == {*kinds.STORED, *kinds.VIEWS, *kinds.COMPUTED}


def test_a_defined_resource_has_each_of_its_versions_and_one_that_is_stored():
    catalog = Catalog()
    catalog.define([TWO, ONE])
    assert catalog.by_path("example.com", "v1", "things") is ONE
    assert catalog.by_kind("example.com/v2", "Thing") is TWO
    assert catalog.by_key("things.example.com") is TWO
    assert [item for item in catalog.stored() if item.group == "example.com"] == [TWO]


def test_a_version_that_is_only_stored_is_not_found_by_path():
    catalog = Catalog()
    catalog.define([replace(TWO, served=False), ONE])
    assert catalog.by_path("example.com", "v2", "things") is None
    assert catalog.by_key("things.example.com").version == "v2"


def test_a_change_is_told_and_what_is_forgotten_is_gone():
    catalog, told = Catalog(), []
    catalog.listen(told.append)
    catalog.define([ONE])
    assert told == []
    catalog.define([TWO])
    catalog.forget("things.example.com")
    catalog.forget("things.example.com")
    assert told == ["things.example.com"] * 2
    assert catalog.by_key("things.example.com") is None
    assert catalog.by_path("example.com", "v2", "things") is None
