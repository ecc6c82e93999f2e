from tinykube import kinds


def test_modify_is_for_one_very_object(create, registry, secret):
    made = create(kinds.SECRETS, secret())

    def label(obj):
        obj["metadata"]["labels"] = {"a": "b"}
        return True

    assert not registry.modify(kinds.SECRETS, "default", "s", label, uid="other")
    assert registry.modify(kinds.SECRETS, "default", "s", label, uid=made["metadata"]["uid"])
    assert not registry.modify(kinds.SECRETS, "default", "absent", label)
