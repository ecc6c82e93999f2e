import pytest

from tinykube import kinds, podspec, schema
from tinykube.schema import Findings


@pytest.fixture
def faults(pod):
    """The faults of a pod after a change: as `field: message` lines."""

    def check(change=None, **spec):
        body = pod(**spec)
        if change:
            change(body["spec"]["containers"][0])
        findings = Findings()
        clean = schema.read(body, kinds.PODS.shape, "", findings)
        podspec.default(clean)
        return [str(cause) for cause in (*findings.refused, *podspec.validate(clean))]

    return check


def test_a_plain_pod_is_good(faults):
    assert faults() == []


@pytest.mark.parametrize(
    "spec",
    [
        {"hostNetwork": True},
        {"hostPID": True},
        {"resourceClaims": [{"name": "x"}]},
        {"dnsConfig": {"nameservers": ["1.1.1.1"]}},
        {"shareProcessNamespace": True},
        {"ephemeralContainers": [{"name": "x"}]},
        {"volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}]},
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(faults, spec):
    (field,) = spec
    (fault, *_) = faults(**spec)
    assert fault.startswith(f"spec.{field}")
    assert "Forbidden" in fault


@pytest.mark.parametrize(
    "spec",
    [
        {"hostNetwork": False},
        {"tolerations": [{"operator": "Exists"}]},
        {"securityContext": {"fsGroup": 100, "seccompProfile": {"type": "RuntimeDefault"}}},
        {"imagePullSecrets": [{"name": "x"}]},
        {"affinity": {}},
        {"securityContext": {"runAsUser": 1000, "runAsGroup": 100, "runAsNonRoot": True}},
        {"readinessGates": [{"conditionType": "example.com/ready"}]},
        {"volumes": [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}]},
        {"os": {"name": "linux"}},
    ],
)
def test_what_changes_nothing_is_taken(faults, spec):
    assert faults(**spec) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": "A"}, "name: Invalid value"),
        ({"name": ""}, "name: Required value"),
        ({"image": ""}, "image: Required value"),
        ({"image": " x"}, "image: Invalid value"),
        ({"command": ["a\0b"]}, "command[0]: Invalid value"),
        ({"imagePullPolicy": "Sometimes"}, "imagePullPolicy: Unsupported value"),
        ({"env": [{"name": "A=B", "value": "x"}]}, "env[0].name: Invalid value"),
        ({"env": [{"name": "A", "value": "a\0"}]}, "env[0].value: Invalid value"),
        ({"env": [{"name": "A", "valueFrom": {}}]}, "must specify one of: `fieldRef`, "),
        (
            {"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]},
            'env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]},
            "env[0].valueFrom.secretKeyRef.key: Required value",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]},
            'fieldRef.fieldPath: Invalid value: "spec.x": error converting fieldPath',
        ),
        ({"envFrom": [{}]}, "envFrom[0]: Invalid value"),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/x"}]},
            'volumeMounts[0].name: Not found: "v"',
        ),
        ({"resources": {"limits": {"memory": "-1"}}}, "limits[memory]: Invalid value"),
        ({"resources": {"limits": {"bananas": "1"}}}, "limits[bananas]: Invalid value"),
        (
            {"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}},
            "must be less than or equal to cpu limit of 1",
        ),
        ({"resources": {"requests": {"example.com/gpu": "1"}}}, "Limit must be set"),
        ({"ports": [{"containerPort": 0}]}, "ports[0].containerPort: Required value"),
        ({"ports": [{"containerPort": 80, "hostPort": 80}]}, "ports[0].hostPort: Forbidden"),
        ({"livenessProbe": {}}, "must specify a handler type"),
        ({"livenessProbe": {"exec": {}}}, "livenessProbe.exec.command: Required value"),
        (
            {"livenessProbe": {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}},
            "livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
        ),
        ({"readinessProbe": {"tcpSocket": {"port": 0}}}, "tcpSocket.port: Invalid value"),
        ({"readinessProbe": {"httpGet": {"port": "A!"}}}, "httpGet.port: Invalid value"),
        (
            {"readinessProbe": {"httpGet": {"port": 1, "scheme": "ftp"}}},
            "httpGet.scheme: Unsupported value",
        ),
        (
            {"readinessProbe": {"httpGet": {"port": 1, "httpHeaders": [{"name": "a b"}]}}},
            "httpHeaders[0].name: Invalid value",
        ),
        (
            {"livenessProbe": {"exec": {"command": ["a"]}, "successThreshold": 2}},
            "livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            {"readinessProbe": {"exec": {"command": ["a"]}, "terminationGracePeriodSeconds": 2}},
            "must not be set for readinessProbes",
        ),
        ({"startupProbe": {"grpc": {"port": 1}, "periodSeconds": -1}}, "periodSeconds: Invalid"),
        (
            {"lifecycle": {"preStop": {"tcpSocket": {"port": 1}}}},
            "lifecycle.preStop.tcpSocket: Forbidden",
        ),
        ({"lifecycle": {"stopSignal": "SIGNOT"}}, "lifecycle.stopSignal: Unsupported value"),
        ({"restartPolicy": "Sometimes"}, "restartPolicy: Unsupported value"),
        (
            {"restartPolicyRules": [{"action": "Restart"}]},
            "restartPolicyRules[0].exitCodes: Required value",
        ),
        ({"securityContext": {"runAsUser": -1}}, "securityContext.runAsUser: Invalid value"),
        ({"securityContext": {"privileged": True}}, "securityContext.privileged: Forbidden"),
        ({"securityContext": {"capabilities": {"add": ["ALL"]}}}, "capabilities.add: Forbidden"),
        ({"stdin": True}, "stdin: Forbidden"),
    ],
)
def test_container_faults(faults, fields, expected):
    found = faults(lambda container: container.update(fields))
    assert any(expected in fault for fault in found), found


@pytest.mark.parametrize("path", ["x", "/", "/a/../b", "/a:b", "", "//"])
def test_mount_paths(faults, path):
    mounts = [{"name": "v", "mountPath": path}]
    assert faults(lambda container: container.update(volumeMounts=mounts), volumes=[{"name": "v"}])


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("limits.cpu", []),
        ("requests.memory", []),
        (
            "limits.pods",
            [
                "spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: Unsupported "
                'value: "limits.pods": supported values: "limits.cpu", '
                '"limits.ephemeral-storage", "limits.memory", "requests.cpu", '
                '"requests.ephemeral-storage", "requests.memory"'
            ],
        ),
    ],
)
def test_a_variable_from_what_the_container_asks_for(faults, resource, expected):
    variable = {"name": "A", "valueFrom": {"resourceFieldRef": {"resource": resource}}}
    assert faults(lambda container: container.update(env=[variable])) == expected


def test_a_mount_without_a_name_names_no_volume(faults):
    found = faults(lambda container: container.update(volumeMounts=[{"mountPath": "/x"}]))
    name = "spec.containers[0].volumeMounts[0].name"
    assert found == [f"{name}: Required value", f'{name}: Not found: ""']


@pytest.mark.parametrize("path", ["../x", "/abs", "a/../../b", "a\0"])
def test_sub_paths(faults, path):
    mounts = [{"name": "v", "mountPath": "/x", "subPath": path}]
    (fault,) = faults(
        lambda container: container.update(volumeMounts=mounts), volumes=[{"name": "v"}]
    )
    assert "subPath: Invalid value" in fault


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ({"name": "V"}, "name: Invalid value"),
        ({"name": "v", "secret": {}}, "secret.secretName: Required value"),
        ({"name": "v", "configMap": {}}, "configMap.name: Required value"),
        ({"name": "v", "persistentVolumeClaim": {}}, "claimName: Required value"),
        ({"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}, "more than 1 volume type"),
        ({"name": "v", "hostPath": {"path": "../x"}}, "hostPath.path: Invalid value"),
        ({"name": "v", "emptyDir": {"medium": "HugePages"}}, "medium: Unsupported value"),
        ({"name": "v", "image": {}}, "image.reference: Required value"),
        (
            {"name": "v", "secret": {"secretName": "s", "items": [{"key": "k", "path": "../x"}]}},
            "items[0].path: Invalid value",
        ),
        ({"name": "v", "secret": {"secretName": "s", "defaultMode": 0o1777}}, "defaultMode"),
        (
            {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "../t"}}]}},
            "path: Invalid value",
        ),
    ],
)
def test_volume_faults(faults, volume, expected):
    found = faults(volumes=[volume])
    assert any(expected in fault for fault in found), found


def test_duplicates(faults):
    assert "Duplicate value" in faults(volumes=[{"name": "v"}, {"name": "v"}])[0]
    assert "Duplicate value" in faults(initContainers=[{"name": "main", "image": "x"}])[0]


def test_a_pod_needs_a_container(faults):
    assert any("spec.containers: Required value" in fault for fault in faults(containers=[]))


def test_defaults(pod):
    body = pod()
    body["spec"]["containers"][0]["resources"] = {"limits": {"memory": "1Gi"}}
    podspec.default(body)
    container = body["spec"]["containers"][0]
    assert container["resources"]["requests"] == {"memory": "1Gi"}
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert body["spec"]["serviceAccountName"] == "default"
    assert body["spec"]["terminationGracePeriodSeconds"] == 30


def test_the_token_is_mounted_where_nothing_else_is(pod):
    body = pod(initContainers=[{"name": "i", "image": "x"}])
    mine = {"name": "v", "mountPath": podspec.TOKEN_FOLDER}
    body["spec"]["initContainers"][0]["volumeMounts"] = [mine]
    podspec.mount_token(body)
    assert body["spec"]["initContainers"][0]["volumeMounts"] == [mine]
    (mount,) = body["spec"]["containers"][0]["volumeMounts"]
    assert mount["readOnly"]
    (volume,) = body["spec"]["volumes"]
    assert volume["name"] == mount["name"]


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
    ],
)
def test_quality(pod, resources, expected):
    body = pod()
    body["spec"]["containers"][0]["resources"] = resources
    podspec.default(body)
    assert podspec.quality(body) == expected


def test_demand_is_the_larger_of_init_and_main(pod):
    def sized(amount):
        return {"name": "x", "image": "i", "resources": {"requests": {"cpu": amount}}}

    body = pod(containers=[sized("1"), sized("1")], initContainers=[sized("5"), sized("3")])
    assert podspec.demand(body) == {"cpu": 5}


def test_a_spec_does_not_change(pod):
    old, new = pod(activeDeadlineSeconds=9), pod(activeDeadlineSeconds=9)
    podspec.default(old)
    podspec.default(new)
    new["spec"]["tolerations"] = [{"operator": "Exists"}]
    assert podspec.changed(new, old) == []
    new["spec"]["activeDeadlineSeconds"] = 10
    (fault,) = podspec.changed(new, old)
    assert (fault.field, fault.reason) == ("spec.activeDeadlineSeconds", "FieldValueInvalid")
    new["spec"]["activeDeadlineSeconds"] = 9
    new["spec"]["containers"][0]["image"] = "other"
    (fault,) = podspec.changed(new, old)
    assert (fault.field, fault.reason) == ("spec", "FieldValueForbidden")
    assert "containers would change" in fault.message
    new["spec"]["containers"][0]["name"] = "Bad_Name"
    assert [fault.field for fault in podspec.changed(new, old)] == [
        "spec.containers[0].name",
        "spec",
    ]
    new["spec"]["containers"].append({**old["spec"]["containers"][0], "name": "two"})
    assert podspec.changed(new, old)[-1].message == (
        "Forbidden: pod updates may not add or remove containers"
    )


def test_a_grace_period_below_nothing_is_a_second(pod):
    body = pod(terminationGracePeriodSeconds=-5)
    podspec.default(body)
    assert body["spec"]["terminationGracePeriodSeconds"] == 1
    template = pod(terminationGracePeriodSeconds=-5)
    podspec.default_template(template)
    assert list(podspec.warnings(template, "spec.template")) == [
        "spec.template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are "
        "invalid and will be treated as 1"
    ]


def test_init_containers_have_no_probes_unless_they_run_on(faults):
    probe = {"exec": {"command": ["true"]}}
    init = {"name": "i", "image": "busybox", "command": ["true"], "readinessProbe": probe}

    found = faults(initContainers=[init])
    assert found == [
        "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers "
        "without restartPolicy=Always"
    ]
    assert faults(initContainers=[{**init, "restartPolicy": "Always"}]) == []


def test_the_defaults_of_a_probe():
    probe = {"httpGet": {"port": 80}, "periodSeconds": 0}
    pod = {"spec": {"containers": [{"name": "a", "image": "b", "livenessProbe": probe}]}}

    podspec.default(pod)

    assert probe == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


def test_what_runs_on_counts_beside_the_others():
    def item(cpu, **more):
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    side = {"restartPolicy": "Always"}
    pod = {
        "spec": {
            "initContainers": [item("4"), item("1", **side), item("6")],
            "containers": [item("2")],
        }
    }

    assert podspec.demand(pod) == {"cpu": 7}
