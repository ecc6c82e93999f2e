from tinykube import kinds
from tinykube.fieldsets import tree, walk

SHAPE = kinds.PODS.shape


def pod(**container):
    return {"spec": {"containers": [{"name": "c", "image": "i", **container}]}}


def differences(old, new):
    changed, gone = [], []
    walk.differences(old, new, SHAPE, changed, gone)
    return tree.of(changed), tree.of(gone)


def item(fields):
    return {"f:spec": {"f:containers": {'k:{"name":"c"}': fields}}}


def test_equal_objects_do_not_differ():
    assert differences(pod(), pod()) == ({}, {})


def test_a_field_inside_a_keyed_list():
    assert differences(pod(), pod(image="j")) == (item({"f:image": {}}), {})


def test_what_is_new_is_so_with_all_it_has():
    env = [{"name": "A", "value": "b"}]
    new = item({"f:env": {".": {}, 'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}}})
    assert differences(pod(), pod(env=env)) == (new, {})
    assert differences(pod(env=env), pod()) == ({}, new)


def test_atomic_parts_are_one_field():
    old = {"spec": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "a"}]}}
    new = {"spec": {"nodeSelector": {"a": "c"}, "tolerations": [{"key": "b"}]}}
    changed, gone = differences(old, new)
    assert changed == {"f:spec": {"f:nodeSelector": {}, "f:tolerations": {}}}
    assert gone == {}


def test_another_type_is_a_change_of_the_whole():
    changed, gone = differences({"spec": {"x": {"a": 1}}}, {"spec": {"x": 7}})
    assert changed == {"f:spec": {"f:x": {}}}
    assert gone == {}


def test_a_configuration_names_leaves_items_and_free_keys():
    config = {"metadata": {"labels": {"a": "b"}, "finalizers": ["x"]}, **pod(args=["1"])}
    assert tree.of(walk.configured(config, SHAPE)) == {
        "f:metadata": {"f:labels": {"f:a": {}}, "f:finalizers": {'v:"x"': {}}},
        **item({".": {}, "f:name": {}, "f:image": {}, "f:args": {}}),
    }


def test_nobody_owns_an_objects_identity():
    meta = {"name": "x", "uid": "u", "labels": {}, "managedFields": []}
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": meta}
    assert walk.owned(obj) == {"metadata": {"labels": {}}}
    assert walk.owned({"metadata": {"name": "x"}}) == {}
