import json

import pytest
import yaml

from tinykube import kinds
from tinykube.catalog import Catalog
from tinykube.crd.establisher import Establisher
from tinykube.openapi.documents import Documents

REF = "#/components/schemas/"


@pytest.fixture(scope="module")
def documents():
    return Documents(Catalog())


@pytest.fixture(scope="module")
def core(documents):
    return json.loads(documents.document("api/v1")[0])


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for item in node.values():
            yield from references(item)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def test_every_group_version_has_a_document_that_is_whole(documents):
    index = documents.index()["paths"]
    assert {"api/v1", "apis/apiextensions.k8s.io/v1"} <= set(index)
    for name, entry in index.items():
        data, digest = documents.document(name)
        assert entry["serverRelativeURL"] == f"/openapi/v3/{name}?hash={digest}"
        document = json.loads(data)
        assert document["openapi"] == "3.0.0"
        known = {f"{REF}{name}" for name in document["components"]["schemas"]}
        assert set(references(document)) <= known


def test_kinds_are_found_by_their_paths(core):
    listed = core["paths"]["/api/v1/namespaces/{namespace}/pods"]["get"]
    wanted = {"group": "", "version": "v1", "kind": "Pod"}
    assert listed["x-kubernetes-group-version-kind"] == wanted
    schemas = core["components"]["schemas"].values()
    field = "x-kubernetes-group-version-kind"
    (pod,) = [item for item in schemas if wanted in item.get(field, ())]
    assert pod["description"].startswith("Pod is a collection of containers")
    assert pod["properties"]["spec"]["allOf"] == [{"$ref": f"{REF}io.k8s.api.core.v1.PodSpec"}]


def test_lists_say_how_they_merge_and_what_is_required(core):
    schemas = core["components"]["schemas"]
    spec = schemas["io.k8s.api.core.v1.PodSpec"]
    containers = spec["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-list-map-keys"] == ["name"]
    assert containers["items"] == {"$ref": f"{REF}io.k8s.api.core.v1.Container"}
    assert "containers" in spec["required"]
    assert "name" in schemas["io.k8s.api.core.v1.Container"]["required"]


def test_a_patch_says_what_it_takes(core):
    patch = core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]
    assert {"fieldValidation", "dryRun"} <= {item["name"] for item in patch["parameters"]}


def test_a_schema_that_holds_itself(documents):
    document = json.loads(documents.document("apis/apiextensions.k8s.io/v1")[0])
    props = document["components"]["schemas"]["io.k8s.api.apiextensions.v1.JSONSchemaProps"]
    assert props["properties"]["properties"]["additionalProperties"]


async def test_documents_over_http(http):
    index = (await http.get("/openapi/v3")).json()["paths"]
    address = index["api/v1"]["serverRelativeURL"]
    answer = await http.get(address)
    assert answer.json()["openapi"] == "3.0.0"
    assert answer.headers["cache-control"] == "public, immutable"
    known = {"if-none-match": answer.headers["etag"]}
    assert (await http.get(address, headers=known)).status_code == 304
    old = await http.get("/openapi/v3/api/v1?hash=OLD")
    assert (old.status_code, old.headers["location"]) == (301, address)
    assert "cache-control" not in (await http.get("/openapi/v3/api/v1")).headers
    assert (await http.get("/openapi/v3/apis/no/v1")).status_code == 404
    assert (await http.get("/openapi/v2")).status_code == 404


async def test_a_custom_resource_is_described_by_its_own_words(http, registry, create):
    definition = yaml.safe_load(DEFINITION)
    create(kinds.DEFINITIONS, definition)
    loop = Establisher(registry)
    loop.load()
    loop.step()
    index = (await http.get("/openapi/v3")).json()["paths"]
    first = index["apis/example.com/v1"]["serverRelativeURL"]
    document = (await http.get(first)).json()
    thing = document["components"]["schemas"]["com.example.v1.Thing"]
    assert thing["description"] == "A thing."
    assert thing["properties"]["spec"]["properties"]["size"]["description"] == "How large."
    assert thing["properties"]["apiVersion"]["description"]
    path = document["paths"]["/apis/example.com/v1/things/{name}"]
    kinds_of_patch = path["patch"]["requestBody"]["content"]
    assert "application/strategic-merge-patch+json" not in kinds_of_patch

    def change(current):
        schema = current["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        schema["description"] = "Another thing."
        return True

    registry.modify(kinds.DEFINITIONS, "", "things.example.com", change)
    index = (await http.get("/openapi/v3")).json()["paths"]
    assert index["apis/example.com/v1"]["serverRelativeURL"] != first


DEFINITION = """
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Cluster
  names: {plural: things, kind: Thing}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        description: A thing.
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer, description: How large.}
"""
