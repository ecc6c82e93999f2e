from tinykube import discovery, kinds
from tinykube.catalog import Catalog


def test_every_resource_is_listed_with_its_verbs():
    for item in kinds.STORED:
        listed = discovery.resource_list(Catalog(), item.group, item.version)["resources"]
        (entry,) = [found for found in listed if found["name"] == item.plural]
        assert entry["namespaced"] is item.namespaced
        assert set(entry["verbs"]) == set(item.verbs)
        subs = {found["name"] for found in listed}
        assert (f"{item.plural}/status" in subs) is item.status


def test_the_version_is_one_that_clients_read():
    found = discovery.version()
    assert found["gitVersion"].startswith(f"v{found['major']}.{found['minor']}.")


def test_what_is_not_there():
    assert discovery.group(Catalog(), "autoscaling") is None
    assert discovery.resource_list(Catalog(), "autoscaling", "v1") is None


def test_kubectl_get_all_shows_what_runs():
    listed = discovery.resource_list(Catalog(), "", "v1")["resources"]
    shown = {item["name"] for item in listed if "all" in item.get("categories", ())}
    assert shown == {"pods", "services"}
