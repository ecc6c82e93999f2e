from tinykube.openapi import descriptions
from tinykube.openapi.descriptions import Descriptions, Model


def test_a_kind_and_its_fields():
    found = Descriptions()
    pod = Model("core_v1", "Pod")
    assert found.about(pod).startswith("Pod is a collection of containers")
    spec = found.fields(pod)["spec"]
    assert spec.model == Model("core_v1", "PodSpec")
    assert spec.text.startswith("Specification of the desired behavior of the pod.")
    assert "\n" not in spec.text
    assert found.fields(pod)["metadata"].model == Model("meta_v1", "ObjectMeta")
    containers = found.fields(Model("core_v1", "PodSpec"))["containers"]
    assert containers.required
    assert containers.model == Model("core_v1", "Container")


def test_what_is_not_known_is_empty():
    found = Descriptions()
    assert found.about(Model("core_v1", "NoSuchKind")) == ""
    assert found.fields(Model("no_v1", "NoSuchKind")) == {}
    assert not found.knows(Model("no_v1", "NoSuchKind"))


def test_without_the_package_there_are_none(monkeypatch):
    def missing(name):
        raise descriptions.PackageNotFoundError(name)

    monkeypatch.setattr(descriptions, "distribution", missing)
    assert not Descriptions().knows(Model("core_v1", "Pod"))
