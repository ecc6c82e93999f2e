from tinykube import bootstrap, kinds, roles


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
    assert (
        load(kinds.CLUSTER_ROLES, "cluster-admin")["rules"]
        == roles.ROLES["cluster-admin"]["rules"]
    )


def test_a_new_authority_reaches_every_namespace(registry, load):
    registry.root_ca = "another"
    bootstrap.run(registry)
    assert load(kinds.CONFIG_MAPS, "kube-root-ca.crt")["data"] == {"ca.crt": "another"}


def test_a_role_that_others_feed_has_their_rules_from_the_start(load):
    view, edit, admin = (
        load(kinds.CLUSTER_ROLES, name)["rules"] for name in ("view", "edit", "admin")
    )
    assert view
    assert all(rule in edit for rule in view)
    assert all(rule in admin for rule in edit)
    assert len(view) < len(edit) < len(admin)


def test_labels_that_others_gave_a_built_in_role_stay(registry, load):
    def label(role):
        role["metadata"]["labels"] = {"mine": "yes"}
        return True

    registry.modify(kinds.CLUSTER_ROLES, "", "view", label)
    bootstrap.run(registry)
    labels = load(kinds.CLUSTER_ROLES, "view")["metadata"]["labels"]
    assert labels["mine"] == "yes"
    assert labels["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
