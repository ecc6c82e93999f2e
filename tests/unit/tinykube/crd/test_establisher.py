from tinykube import kinds
from tinykube.catalog import Catalog
from tinykube.crd.definitions import Definitions
from tinykube.options import Deletion


def conditions(registry, name):
    stored = registry.store.load(kinds.DEFINITIONS.key, "", name)
    return {
        item["type"]: (item["status"], item["reason"]) for item in stored["status"]["conditions"]
    }


def test_names_that_are_free_are_accepted(registry, establish, definition):
    establish(definition())
    assert conditions(registry, "things.example.com") == {
        "NamesAccepted": ("True", "NoConflicts"),
        "Established": ("True", "InitialNamesAccepted"),
    }
    stored = registry.store.load(kinds.DEFINITIONS.key, "", "things.example.com")
    assert stored["status"]["acceptedNames"] == {
        "plural": "things",
        "singular": "thing",
        "kind": "Thing",
        "listKind": "ThingList",
    }
    assert stored["status"]["storedVersions"] == ["v1"]


def test_a_kind_that_is_taken_waits_until_it_is_free(registry, establish, establisher, definition):
    establish(definition())
    found = establish(definition(plural="others"))
    assert found["v1"] is None
    assert conditions(registry, "others.example.com") == {
        "NamesAccepted": ("False", "ListKindConflict"),
        "Established": ("False", "NotAccepted"),
    }
    registry.delete(kinds.DEFINITIONS, "", "things.example.com", Deletion())
    while establisher.step():
        pass
    establisher.step()
    assert conditions(registry, "others.example.com")["Established"][0] == "True"
    assert registry.catalog.by_path("example.com", "v1", "others") is not None


def test_what_is_stored_is_served_after_a_start(registry, establish, definition):
    establish(definition())
    catalog = Catalog()
    Definitions(registry.store, catalog)
    assert catalog.by_kind("example.com/v1", "Thing") is not None


def test_a_status_that_changes_nothing_served_ends_no_watch(registry, establish, definition):
    establish(definition())
    told = []
    registry.catalog.listen(told.append)

    def label(current):
        current["metadata"]["labels"] = {"a": "b"}
        return True

    registry.modify(kinds.DEFINITIONS, "", "things.example.com", label)
    assert told == []
