import pytest

from tinykube import kinds
from tinykube.options import Options
from tinykube.rbac import SYSTEM
from tinykube.status import ApiError

ROOT = "spec.validation.openAPIV3Schema"


@pytest.fixture
def faults(registry):
    """The faults of a definition."""

    def find(body):
        try:
            registry.create(kinds.DEFINITIONS, "", body, SYSTEM, Options(dry_run=True))
        except ApiError as error:
            return [str(cause) for cause in error.causes] or [f"{error.code}: {error}"]
        return []

    return find


def test_realistic_definitions_are_taken(faults, experiments, services):
    assert faults(experiments) == []
    assert faults(services) == []


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({}, f"{ROOT}.properties[spec].type: Required value: must not be empty for specified"),
        ({"type": "thing"}, f'{ROOT}.properties[spec].type: Unsupported value: "thing"'),
        ({"type": "array"}, f"{ROOT}.properties[spec].items: Required value: must be specified"),
        (
            {"type": "array", "items": {}},
            f"{ROOT}.properties[spec].items.type: Required value: must not be empty for specified",
        ),
        (
            {"type": "string", "pattern": "("},
            f'{ROOT}.properties[spec].pattern: Invalid value: "(": must be a valid regular',
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "additionalProperties": {},
            },
            f"{ROOT}.properties[spec].additionalProperties: Forbidden: additionalProperties and",
        ),
        (
            {"type": "object", "anyOf": [{"type": "object"}]},
            f"{ROOT}.properties[spec].anyOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            {"type": "object", "properties": {"a": {"$ref": "#/x"}}},
            f"{ROOT}.properties[spec].properties[a].$ref: Forbidden: $ref is not supported",
        ),
        (
            {"type": "integer", "default": "x"},
            f'{ROOT}.properties[spec].default: Invalid value: "string"',
        ),
        (
            {"type": "object", "default": {"no": 1}},
            f"{ROOT}.properties[spec].default: Invalid value: "
            '{"no":1}: must not have unknown fields',
        ),
        (
            {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "map"},
            f"{ROOT}.properties[spec].x-kubernetes-list-map-keys: Required value",
        ),
        (
            {"type": "string", "x-kubernetes-list-type": "set"},
            f'{ROOT}.properties[spec].type: Invalid value: "string": must be array if',
        ),
        (
            {"type": "object", "x-kubernetes-preserve-unknown-fields": False},
            f"{ROOT}.properties[spec].x-kubernetes-preserve-unknown-fields: Invalid value: false",
        ),
        (
            {"type": "object", "x-kubernetes-validations": [{"rule": "self.a > 1"}]},
            f"{ROOT}.properties[spec].x-kubernetes-validations[0].rule: Invalid value: ",
        ),
        (
            {"type": "integer", "x-kubernetes-validations": [{"rule": "self + 1"}]},
            f"{ROOT}.properties[spec].x-kubernetes-validations[0].rule: Invalid value: ",
        ),
        (
            {"type": "integer", "x-kubernetes-validations": [{"rule": "nothing(self)"}]},
            f"{ROOT}.properties[spec].x-kubernetes-validations[0].rule: Invalid value: ",
        ),
        (
            {
                "type": "array",
                "items": {
                    "type": "integer",
                    "x-kubernetes-validations": [{"rule": "self >= oldSelf"}],
                },
            },
            f"{ROOT}.properties[spec].items.x-kubernetes-validations[0].rule: Invalid value: "
            '"self >= oldSelf": oldSelf cannot be used on the uncorrelatable portion',
        ),
    ],
)
def test_schemas_that_are_refused(faults, definition, schema, fault):
    found = faults(definition(schema))
    assert any(text.startswith(fault) for text in found), found


def test_what_a_junction_at_the_root_names_must_be_there(faults, definition):
    body = definition()
    root = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    root["anyOf"] = [{"properties": {"a": {"minimum": 1}}}]
    assert faults(body) == [
        f"{ROOT}.properties[a]: Required value: because it is defined in "
        f"{ROOT}.anyOf[0].properties[a]"
    ]


def test_a_rule_that_does_not_compile_says_why(faults, definition):
    rule = {"rule": "self.a > 1 &&"}
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    (found,) = faults(definition({**schema, "x-kubernetes-validations": [rule]}))
    assert "compilation failed: ERROR: <input>:1:14: Syntax error" in found


def test_names_and_versions(faults, definition):
    body = definition()
    body["metadata"]["name"] = "x"
    assert faults(body) == [
        'metadata.name: Invalid value: "x": must be spec.names.plural+"."+spec.group'
    ]
    body = definition(storage=False)
    assert any("must have exactly one version marked" in text for text in faults(body))
    body = definition()
    body["spec"]["names"]["kind"] = "No Kind"
    assert any(text.startswith("spec.names.kind: Invalid value") for text in faults(body))
    body = definition()
    body["spec"]["versions"] = []
    assert any("status.storedVersions: Invalid value: null" in text for text in faults(body))


def test_a_webhook_that_converts_is_refused_aloud(faults, definition):
    body = definition()
    body["spec"]["conversion"] = {
        "strategy": "Webhook",
        "webhook": {"clientConfig": {}, "conversionReviewVersions": ["v1"]},
    }
    (found,) = faults(body)
    assert found.startswith("spec.conversion.strategy: Forbidden: webhooks are not called here")


def test_columns_scale_and_selectable_fields(faults, definition):
    body = definition(
        additionalPrinterColumns=[{"name": "x", "type": "no", "jsonPath": ""}],
        subresources={"scale": {"specReplicasPath": ".status.x", "statusReplicasPath": "x"}},
        selectableFields=[{"jsonPath": ".spec.no"}],
    )
    found = " ".join(faults(body))
    assert "spec.additionalPrinterColumns[0].type: Invalid value" in found
    assert "spec.additionalPrinterColumns[0].JSONPath: Required value" in found
    assert 'specReplicasPath: Invalid value: \\".status.x\\"' in found or "under .spec" in found
    assert "must be a simple json path starting with ." in found
    assert "spec.selectableFields[0].jsonPath: Invalid value" in found


def test_a_protected_group_needs_its_approval(faults, definition):
    body = definition()
    body["spec"]["group"] = "x.k8s.io"
    body["metadata"]["name"] = "things.x.k8s.io"
    (found,) = faults(body)
    assert found.startswith("metadata.annotations[api-approved.kubernetes.io]: Required value")
    body["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, a test"}
    assert faults(body) == []


def test_what_does_not_change(registry, establish, definition):
    establish(definition())
    patch = {"spec": {"names": {"kind": "Other"}}}
    with pytest.raises(ApiError) as error:
        registry.patch(
            kinds.DEFINITIONS,
            "",
            "things.example.com",
            "application/merge-patch+json",
            patch,
            SYSTEM,
            Options(),
        )
    assert "spec.names.kind: Invalid value" in error.value.message
    patch = {"spec": {"versions": [{**definition()["spec"]["versions"][0], "name": "v2"}]}}
    with pytest.raises(ApiError) as error:
        registry.patch(
            kinds.DEFINITIONS,
            "",
            "things.example.com",
            "application/merge-patch+json",
            patch,
            SYSTEM,
            Options(),
        )
    assert "missing from spec.versions" in error.value.message


def test_unknown_fields_of_a_schema_are_told(registry, definition):
    options = Options()
    body = definition({"type": "object", "additionalProperties": {"type": "string", "no": 1}})
    registry.create(kinds.DEFINITIONS, "", body, SYSTEM, options)
    assert len(options.warnings) == 1
    assert options.warnings[0].endswith('additionalProperties.no"')


def test_a_schema_that_is_deep_is_refused(registry, definition):
    schema = {"type": "string"}
    for _ in range(100):
        schema = {"type": "object", "properties": {"a": schema}}
    with pytest.raises(ApiError) as error:
        registry.create(kinds.DEFINITIONS, "", definition(schema), SYSTEM, Options())
    assert error.value.code == 400
