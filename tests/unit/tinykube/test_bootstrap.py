from tinykube import bootstrap, kinds, rbac


def test_running_it_again_changes_nothing(registry, store):
    version = store.version
    bootstrap.run(registry)
    assert store.version == version


def test_built_in_roles_are_mended(registry, load):
    def weaken(role):
        role["rules"] = []
        return True

    registry.modify(kinds.CLUSTER_ROLES, "", "cluster-admin", weaken)
    bootstrap.run(registry)
    assert load(kinds.CLUSTER_ROLES, "cluster-admin")["rules"] == rbac.ROLES["cluster-admin"]


def test_a_new_authority_reaches_every_namespace(registry, load):
    registry.root_ca = "another"
    bootstrap.run(registry)
    assert load(kinds.CONFIG_MAPS, "kube-root-ca.crt")["data"] == {"ca.crt": "another"}
