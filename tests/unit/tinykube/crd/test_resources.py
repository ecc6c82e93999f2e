import json

import pytest

from tinykube import kinds, objects
from tinykube.options import Deletion, Options
from tinykube.rbac import SYSTEM
from tinykube.status import ApiError

THING = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "one"}}
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


@pytest.fixture
def resource(establish, experiments):
    return establish(experiments)["v1beta1"]


def causes(error):
    return [str(cause) for cause in error.value.causes]


def test_what_a_definition_says_is_served(resource):
    assert resource.key == "experiments.tuning.example.com"
    assert resource.short == ("exp",)
    assert resource.categories == ("all", "tuning")
    assert [column.name for column in resource.columns] == ["Type", "Trials", "Age"]
    assert resource.columns[1].priority == 1
    assert "spec.algorithm.algorithmName" in resource.fields


def test_an_object_gets_its_defaults_and_loses_what_is_unknown(resource, create, experiment):
    body = experiment(unknown=1)
    made = create(resource, {**body, "status": {"trialsRunning": 1}})
    assert made["spec"]["parallelTrialCount"] == 3
    assert made["spec"]["algorithm"] == {"algorithmName": "random"}
    assert "unknown" not in made["spec"]
    assert "status" not in made
    assert made["metadata"]["generation"] == 1
    assert list(made)[:2] == ["apiVersion", "kind"]


def test_unknown_fields_are_told_or_refused(registry, resource, experiment):
    options = Options()
    registry.create(resource, "default", experiment(unknown=1), SYSTEM, options)
    assert options.warnings == ['unknown field "spec.unknown"']
    with pytest.raises(ApiError) as error:
        registry.create(
            resource, "default", experiment("two", no=1), SYSTEM, Options(validation="Strict")
        )
    assert error.value.code == 400
    assert 'strict decoding error: unknown field "spec.no"' in error.value.message


def test_faults_are_told_with_their_fields(registry, resource, experiment):
    body = experiment(parallelTrialCount=0, maxTrialCount="x", objective={"type": "most"})
    with pytest.raises(ApiError) as error:
        registry.create(resource, "default", body, SYSTEM, Options())
    assert error.value.code == 422
    assert error.value.message.startswith('Experiment.tuning.example.com "one" is invalid: [')
    found = causes(error)
    assert (
        'spec.objective.type: Unsupported value: "most": supported values: "minimize", "maximize"'
        in found
    )
    assert "spec.objective.objectiveMetricName: Required value" in found
    assert any("spec.parallelTrialCount in body should be greater" in fault for fault in found)
    assert any("rules were not checked" in fault for fault in found)


def test_rules(registry, resource, create, experiment):
    with pytest.raises(ApiError) as error:
        registry.create(
            resource,
            "default",
            experiment(parallelTrialCount=5, maxTrialCount=4),
            SYSTEM,
            Options(),
        )
    assert causes(error) == [
        "spec.parallelTrialCount: Invalid value: parallelTrialCount must not be more than 4"
    ]
    parameter = {"name": "x", "parameterType": "double", "feasibleSpace": {}}
    with pytest.raises(ApiError) as error:
        registry.create(resource, "default", experiment(parameters=[parameter]), SYSTEM, Options())
    assert causes(error) == [
        "spec.parameters[0]: Invalid value: a double needs min and max",
    ]
    create(resource, experiment())
    change = {"spec": {"objective": {"type": "minimize"}}}
    with pytest.raises(ApiError) as error:
        registry.patch(resource, "default", "one", MERGE, change, SYSTEM, Options())
    assert causes(error) == ["spec.objective: Forbidden: the objective is fixed"]


def test_a_list_that_is_a_map_has_each_key_once(registry, resource, experiment):
    twice = experiment()["spec"]["parameters"] * 2
    with pytest.raises(ApiError) as error:
        registry.create(resource, "default", experiment(parameters=twice), SYSTEM, Options())
    assert causes(error) == ['spec.parameters[1]: Duplicate value: {"name":"lr"}']


def test_the_status_is_written_apart_and_validated(registry, resource, create, experiment):
    create(resource, experiment())
    done = {"status": {"trialsRunning": 2, "startTime": "2026-01-01T00:00:00Z"}}
    written = registry.patch(
        resource, "default", "one", MERGE, done, SYSTEM, Options(), subresource="status"
    )
    obj = json.loads(written.data)
    assert obj["status"]["trialsRunning"] == 2
    assert obj["metadata"]["generation"] == 1
    with pytest.raises(ApiError) as error:
        registry.patch(
            resource,
            "default",
            "one",
            MERGE,
            {"status": {"trialsRunning": "x"}},
            SYSTEM,
            Options(),
            subresource="status",
        )
    assert causes(error)[0] == (
        'status.trialsRunning: Invalid value: "string": trialsRunning in body must be of type '
        'integer: "string"'
    )


def test_a_change_of_the_spec_raises_the_generation(registry, resource, create, experiment):
    create(resource, experiment())

    def patch(change):
        written = registry.patch(resource, "default", "one", MERGE, change, SYSTEM, Options())
        return json.loads(written.data)["metadata"]["generation"]

    assert patch({"spec": {"maxTrialCount": 9}}) == 2
    assert patch({"metadata": {"labels": {"a": "b"}}}) == 2


def test_an_update_names_the_version_that_it_is_made_for(registry, resource, create, experiment):
    made = create(resource, experiment())
    made["metadata"].pop("resourceVersion")
    with pytest.raises(ApiError) as error:
        registry.update(resource, "default", "one", made, SYSTEM, Options())
    assert error.value.code == 422
    assert "must be specified for an update" in error.value.message


def test_a_strategic_patch_is_not_taken(registry, resource, create, experiment):
    create(resource, experiment())
    kind = "application/strategic-merge-patch+json"
    with pytest.raises(ApiError) as error:
        registry.patch(resource, "default", "one", kind, {}, SYSTEM, Options())
    assert error.value.code == 415
    assert "strategic" not in error.value.message


def test_an_apply_merges_lists_by_the_keys_of_the_schema(registry, resource, experiment):
    def apply(manager, settings, name="one"):
        body = {
            "apiVersion": "tuning.example.com/v1beta1",
            "kind": "Experiment",
            "metadata": {"name": name},
            "spec": {"algorithm": {"algorithmSettings": settings}},
        }
        if manager == "first":
            body["spec"].update(experiment()["spec"])
        written = registry.patch(
            resource, "default", "one", APPLY, body, SYSTEM, Options(manager=manager)
        )
        found = json.loads(written.data)["spec"]["algorithm"]["algorithmSettings"]
        return {item["name"]: item.get("value") for item in found}

    apply("first", [{"name": "a", "value": "1"}])
    assert apply("second", [{"name": "b", "value": "2"}]) == {"a": "1", "b": "2"}
    assert apply("second", []) == {"a": "1"}


def test_versions_show_the_same_object(registry, establish, services, create):
    found = establish(services)
    body = {"kind": "ModelService", "metadata": {"name": "one"}}
    body["apiVersion"] = "serving.example.com/v1alpha1"
    body["spec"] = {"predictor": {"port": "http"}}
    made = create(found["v1alpha1"], body)
    assert made["apiVersion"] == "serving.example.com/v1alpha1"
    stored = registry.store.load(found["v1beta1"].key, "default", "one")
    assert stored["apiVersion"] == "serving.example.com/v1beta1"
    seen = json.loads(registry.get(found["v1beta1"], "default", "one"))
    assert seen["apiVersion"] == "serving.example.com/v1beta1"
    seen = json.loads(registry.get(found["v1alpha1"], "default", "one"))
    assert seen["apiVersion"] == "serving.example.com/v1alpha1"
    assert found["v1alpha1"].deprecation == (
        "serving.example.com/v1alpha1 ModelService is deprecated; use serving.example.com/v1beta1 "
        "ModelService"
    )


def test_a_changed_schema_shows_in_what_was_stored_before(registry, establish, definition, create):
    integer = {"type": "integer"}
    body = definition({"type": "object", "properties": {"a": integer, "b": integer}})
    create(establish(body)["v1"], {**THING, "spec": {"a": 1, "b": 2}})
    props = {"a": integer, "c": {"type": "integer", "default": 3}}

    def change(current):
        schema = current["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        schema["properties"]["spec"]["properties"] = props
        current["metadata"]["generation"] = 2
        return True

    registry.modify(kinds.DEFINITIONS, "", "things.example.com", change)
    resource = registry.catalog.by_path("example.com", "v1", "things")
    assert json.loads(registry.get(resource, "default", "one"))["spec"] == {"a": 1, "c": 3}


def test_an_object_that_is_deep_is_refused(registry, establish, definition):
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    resource = establish(definition(free))["v1"]
    deep = {}
    for _ in range(200):
        deep = {"a": deep}
    with pytest.raises(ApiError) as error:
        registry.create(resource, "default", {**THING, "spec": deep}, SYSTEM, Options())
    assert error.value.code == 400
    assert "nested too deeply" in error.value.message


def test_deleting_a_definition_deletes_its_objects_first(
    registry, resource, establisher, create, experiment
):
    create(resource, experiment())
    create(resource, {**experiment("two"), "metadata": {"name": "two", "finalizers": ["x/y"]}})
    name = "experiments.tuning.example.com"
    registry.delete(kinds.DEFINITIONS, "", name, Deletion())
    terminating = registry.catalog.by_path("tuning.example.com", "v1beta1", "experiments")
    with pytest.raises(ApiError) as error:
        registry.create(terminating, "default", experiment("three"), SYSTEM, Options())
    assert (error.value.code, error.value.reason) == (405, "MethodNotAllowed")
    establisher.step()
    assert registry.store.load(resource.key, "default", "one") is None
    held = registry.store.load(resource.key, "default", "two")
    assert objects.terminating(held)
    definition = registry.store.load(kinds.DEFINITIONS.key, "", name)
    (condition,) = [c for c in definition["status"]["conditions"] if c["type"] == "Terminating"]
    assert condition["reason"] == "InstanceDeletionInProgress"
    registry.remove_finalizer(terminating, held, "x/y")
    establisher.step()
    assert registry.store.load(kinds.DEFINITIONS.key, "", name) is None
    assert registry.catalog.by_path("tuning.example.com", "v1beta1", "experiments") is None


def test_an_object_without_its_kind_is_refused(registry, establish, definition):
    resource = establish(definition())["v1"]
    for body, code, words in (
        ({"metadata": {"name": "x"}}, 400, "Object 'Kind' is missing"),
        ({**THING, "apiVersion": "v1"}, 400, "the API version in the data (v1) does not match"),
        ({**THING, "kind": "Other"}, 422, "must be Thing"),
        ({**THING, "kind": "Other", "metadata": "x"}, 422, "must be Thing"),
    ):
        with pytest.raises(ApiError) as error:
            registry.create(resource, "default", body, SYSTEM, Options())
        assert error.value.code == code
        assert words in error.value.message


def test_a_resource_inside_must_say_what_it_is(registry, resource, experiment):
    template = {"trialSpec": {"spec": {}}}
    with pytest.raises(ApiError) as error:
        registry.create(resource, "default", experiment(trialTemplate=template), SYSTEM, Options())
    found = causes(error)
    assert "spec.trialTemplate.trialSpec.apiVersion: Required value" in found
    assert "spec.trialTemplate.trialSpec.kind: Required value" in found


def test_the_status_gets_its_defaults_though_a_client_cannot_give_it(
    establish, definition, create
):
    body = definition(subresources={"status": {}})
    root = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    root["properties"]["status"] = {
        "type": "object",
        "default": {"phase": "Waiting"},
        "properties": {"phase": {"type": "string"}},
    }
    made = create(establish(body)["v1"], {**THING, "status": {"phase": "Ready"}})
    assert made["status"] == {"phase": "Waiting"}


def test_the_stored_version_knows_which_fields_are_kept(establish, definition, create):
    def schema(field):
        spec = {"type": "object", "properties": {field: {"type": "string"}}}
        return {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}

    body = definition()
    (version,) = body["spec"]["versions"]
    version["schema"] = schema("new")
    old = {"name": "v1beta1", "served": True, "storage": False, "schema": schema("old")}
    body["spec"]["versions"].append(old)
    found = establish(body)
    given = {**THING, "apiVersion": "example.com/v1beta1", "spec": {"old": "x"}}
    assert create(found["v1beta1"], given, dry_run=True)["spec"] == {}
    assert create(found["v1beta1"], given)["spec"] == {}


def test_an_apply_of_what_has_no_place_is_refused(registry, resource, experiment):
    body = experiment(nope=1)
    with pytest.raises(ApiError) as error:
        registry.patch(resource, "default", "one", APPLY, body, SYSTEM, Options(manager="x"))
    assert error.value.code == 500
    assert error.value.message == (
        "failed to create typed patch object (/one; tuning.example.com/v1beta1, "
        "Kind=Experiment): .spec.nope: field not declared in schema"
    )
    assert registry.store.get(resource.key, "default", "one") is None


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        (-1, "spec: expected an object, found a number"),
        (
            {"parallelTrialCount": "two"},
            "spec.parallelTrialCount: expected a number, found a string",
        ),
        ({"parameters": {}}, "spec.parameters: expected a list, found an object"),
        ({"parameters": [{}]}, "spec.parameters[0]: expected one of name, by which it is told"),
        ({"parameters": ["x"]}, "spec.parameters[0]: expected an object, found a string"),
    ],
)
def test_an_apply_of_wrong_types_is_refused(registry, resource, experiment, spec, fault):
    body = {**experiment(), "spec": spec}
    with pytest.raises(ApiError) as error:
        registry.patch(resource, "default", "one", APPLY, body, SYSTEM, Options(manager="x"))
    assert error.value.code == 400
    assert error.value.message == (
        f'Experiment in version "v1beta1" cannot be handled as a Experiment: {fault}'
    )


def test_an_apply_of_a_status_of_wrong_types_is_refused_though_it_would_be_ignored(
    registry, resource, experiment
):
    body = {**experiment(), "status": "x"}
    with pytest.raises(ApiError) as error:
        registry.patch(resource, "default", "one", APPLY, body, SYSTEM, Options(manager="x"))
    assert error.value.code == 400


def test_an_apply_of_a_status_owns_nothing_else(registry, resource, create, experiment):
    create(resource, experiment())
    body = {**experiment(), "status": {"trialsRunning": 2}}
    body["metadata"]["labels"] = {"a": "b"}
    written = registry.patch(
        *(resource, "default", "one", APPLY, body, SYSTEM, Options(manager="x")),
        subresource="status",
    )
    made = json.loads(written.data)
    assert "labels" not in made["metadata"]
    (own,) = [item for item in made["metadata"]["managedFields"] if item["manager"] == "x"]
    assert own["fieldsV1"] == {"f:status": {"f:trialsRunning": {}}}


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        (0, "0 is of the type int64, expected map[string]interface{}"),
        ("x", "x is of the type string, expected map[string]interface{}"),
        (1.5, "1.5 is of the type float64, expected map[string]interface{}"),
        (
            [{"a": True}, None],
            "[map[] <nil>] is of the type []interface {}, expected map[string]interface{}",
        ),
        ({"parallelTrialCount": "two"}, "two is of the type string, expected int64"),
        ({"parallelTrialCount": 2.0}, "2 is of the type float64, expected int64"),
        ({"parallelTrialCount": True}, "true is of the type bool, expected int64"),
    ],
)
def test_a_number_of_replicas_must_be_one(registry, resource, experiment, spec, fault):
    body = {**experiment(), "spec": spec}
    with pytest.raises(ApiError) as error:
        registry.create(resource, "default", body, SYSTEM, Options())
    path = ".spec.parallelTrialCount"
    told = [cause.message for cause in error.value.causes if cause.field == path]
    assert told == [f"Invalid value: 0: {path} accessor error: {fault}"]


def test_an_apply_neither_owns_defaults_nor_puts_them_back(registry, resource, experiment):
    body = experiment()

    def apply(manager):
        written = registry.patch(
            resource, "default", "one", APPLY, body, SYSTEM, Options(manager=manager)
        )
        return json.loads(written.data)

    made = apply("first")
    assert made["spec"]["parallelTrialCount"] == 3
    owned = made["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]
    assert "f:parallelTrialCount" not in owned
    change = {"spec": {"parallelTrialCount": 5}}
    registry.patch(resource, "default", "one", MERGE, change, SYSTEM, Options(manager="scaler"))
    assert apply("first")["spec"]["parallelTrialCount"] == 5
    assert apply("second")["spec"]["parallelTrialCount"] == 5


def test_a_null_in_an_apply_is_a_value(registry, resource, experiment):
    body = experiment(maxTrialCount=None, parallelTrialCount=None)
    with pytest.raises(ApiError) as error:
        registry.patch(resource, "default", "one", APPLY, body, SYSTEM, Options(manager="x"))
    assert 'spec.maxTrialCount in body must be of type integer: "null"' in error.value.message
    # Where there is a default, a null asks for it.
    assert "parallelTrialCount" not in error.value.message
