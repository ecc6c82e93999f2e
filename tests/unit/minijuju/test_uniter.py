"""The uniter's table: a unit's state and the model's wishes, and the one thing to do next.

Every row says which fact of Juju it stands for.
"""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minijuju import uniter
from minijuju.uniter import (
    AcceptLeadership,
    FailTask,
    Hook,
    Life,
    Local,
    LocalRelation,
    Pending,
    Remote,
    RemoteRelation,
    ResignLeadership,
    Resolved,
    RunHook,
    RunTask,
    SkipHook,
    Step,
    Terminate,
    Upgrade,
)

DYING = Life.DYING


def local(**values):
    """A unit that is set up and has seen everything."""
    common = {
        "installed": True,
        "started": True,
        "boot": "b",
        "charm_version": 1,
        "config_hash": "c",
    }
    return Local(**{**common, **values})


def remote(**values):
    """A model that wants nothing of `local()`."""
    common = {"unit": "app/0", "boot": "b", "charm_version": 1, "config_hash": "c"}
    return Remote(**{**common, **values})


def fresh(**values):
    return Local(**{"charm_version": 1, **values})


def hook(kind, **values):
    return Hook(kind, **values)


def db(kind, **values):
    return Hook(kind, **{"endpoint": "db", "relation": 3, "remote_app": "pg", **values})


def rel(**values):
    return RemoteRelation(**{"endpoint": "db", "app": "pg", **values})


def peer(**values):
    return RemoteRelation(**{"endpoint": "mates", "app": "app", "peer": True, **values})


def mates(kind, **values):
    return Hook(kind, **{"endpoint": "mates", "relation": 0, "remote_app": "app", **values})


def failed(what, attempts=1):
    return Pending(what, Step.FAILED, attempts)


READY = hook("pebble-ready", workload="web", boot_id="b2")
NOTICE = hook("pebble-custom-notice", workload="web", notice_id="1")
CONFIG = hook("config-changed", version="c")
ATTACHED = hook("storage-attached", storage="data/0")
DETACHING = hook("storage-detaching", storage="data/0")

ROWS = {
    # Setup, in order.
    "a new unit installs": (fresh(), remote(), RunHook(hook("install"))),
    "install comes before everything": (
        fresh(),
        remote(
            leader=True,
            relations={3: rel()},
            storages={"data/0": Life.ALIVE},
            workload=(READY,),
            actions=("1",),
        ),
        RunHook(hook("install")),
    ),
    "created follows install": (
        fresh(installed=True),
        remote(leader=True, relations={3: rel()}),
        RunHook(db("relation-created")),
    ),
    "peers are created too": (
        fresh(installed=True),
        remote(relations={0: peer()}),
        RunHook(mates("relation-created")),
    ),
    "all relations are created before leadership": (
        fresh(installed=True, relations={0: LocalRelation()}),
        remote(leader=True, relations={0: peer(), 3: rel()}),
        RunHook(db("relation-created")),
    ),
    "then leadership": (
        fresh(installed=True, relations={3: LocalRelation()}),
        remote(leader=True, relations={3: rel()}, storages={"data/0": Life.ALIVE}),
        AcceptLeadership(),
    ),
    "leader-elected was queued": (
        fresh(installed=True, leader=True, pending=Pending(hook("leader-elected"), Step.QUEUED)),
        remote(leader=True, storages={"data/0": Life.ALIVE}),
        RunHook(hook("leader-elected")),
    ),
    "leader-elected is skipped if it leads no longer": (
        local(leader=True, pending=Pending(hook("leader-elected"), Step.QUEUED)),
        remote(leader=False),
        SkipHook(hook("leader-elected")),
    ),
    "then storage": (
        fresh(installed=True),
        remote(storages={"data/0": Life.ALIVE}),
        RunHook(ATTACHED),
    ),
    "then config-changed": (
        fresh(installed=True, storages=frozenset({"data/0"})),
        remote(storages={"data/0": Life.ALIVE}),
        RunHook(CONFIG),
    ),
    "start was queued by config-changed": (
        local(started=False, pending=Pending(hook("start"), Step.QUEUED)),
        remote(workload=(READY,), relations={3: rel()}, actions=("1",)),
        RunHook(hook("start")),
    ),
    "then relations": (
        local(relations={3: LocalRelation()}),
        remote(relations={3: rel(members={"pg/0": 1})}),
        RunHook(db("relation-joined", remote_unit="pg/0", version="1")),
    ),
    "nothing to do": (local(), remote(), None),
    # Workload.
    "pebble-ready in an idle gap before config-changed": (
        fresh(installed=True),
        remote(workload=(READY,)),
        RunHook(READY),
    ),
    "pebble-ready not before install": (
        fresh(),
        remote(workload=(READY,)),
        RunHook(hook("install")),
    ),
    "pebble-ready for another boot": (
        local(containers={"web": "b1"}),
        remote(workload=(READY,)),
        RunHook(READY),
    ),
    "no pebble-ready for the same boot": (
        local(containers={"web": "b2"}),
        remote(workload=(READY,)),
        None,
    ),
    "what was reported first comes first": (
        local(),
        remote(workload=(NOTICE, READY)),
        RunHook(NOTICE),
    ),
    "a dying unit hears nothing of its workload": (
        local(),
        remote(life=DYING, workload=(NOTICE,)),
        RunHook(hook("stop")),
    ),
    "workload before secrets": (
        local(),
        remote(workload=(NOTICE,), changed={"s": 2}),
        RunHook(NOTICE),
    ),
    # Reboot.
    "another pod starts first of all": (
        local(boot="old", leader=True),
        remote(relations={3: rel()}, workload=(READY,)),
        RunHook(hook("start", version="b")),
    ),
    "a unit that never started is not rebooted": (
        local(started=False, boot="old"),
        remote(),
        None,
    ),
    # Leadership.
    "leadership is lost without a hook": (
        local(leader=True),
        remote(leader=False),
        ResignLeadership(),
    ),
    "created comes before leadership": (
        local(),
        remote(leader=True, relations={3: rel()}),
        RunHook(db("relation-created")),
    ),
    "leadership before workload": (
        local(),
        remote(leader=True, workload=(NOTICE,)),
        AcceptLeadership(),
    ),
    "a dying unit takes no leadership": (
        local(),
        remote(life=DYING, leader=True),
        RunHook(hook("stop")),
    ),
    # Secrets, in order.
    "expired before rotate": (
        local(),
        remote(expired=(("s", 1),), rotate=(("s", 1),), changed={"t": 2}, obsolete=(("s", 0),)),
        RunHook(hook("secret-expired", secret="s", revision=1)),
    ),
    "rotate before changed": (
        local(),
        remote(rotate=(("s", 4),), changed={"t": 2}),
        RunHook(hook("secret-rotate", secret="s", version="4")),
    ),
    "changed before remove": (
        local(),
        remote(changed={"t": 2}, obsolete=(("s", 1),)),
        RunHook(hook("secret-changed", secret="t", version="2")),
    ),
    "changed once per revision": (
        local(secrets={"t": 2}),
        remote(changed={"t": 2}),
        None,
    ),
    "changed again for a newer one": (
        local(secrets={"t": 2}),
        remote(changed={"t": 3}),
        RunHook(hook("secret-changed", secret="t", version="3")),
    ),
    "remove for each obsolete revision": (
        local(obsolete=frozenset({"s/1"})),
        remote(obsolete=(("s", 1), ("s", 2))),
        RunHook(hook("secret-remove", secret="s", revision=2)),
    ),
    "remove once": (local(obsolete=frozenset({"s/1"})), remote(obsolete=(("s", 1),)), None),
    "no secrets before install": (
        fresh(),
        remote(changed={"t": 2}),
        RunHook(hook("install")),
    ),
    "no secrets while a hook waits": (
        local(pending=failed(CONFIG)),
        remote(changed={"t": 2}),
        None,
    ),
    "no secrets for the dying": (
        local(),
        remote(life=DYING, changed={"t": 2}),
        RunHook(hook("stop")),
    ),
    "secrets before actions": (
        local(),
        remote(changed={"t": 2}, actions=("1",)),
        RunHook(hook("secret-changed", secret="t", version="2")),
    ),
    # Actions and commands.
    "actions before commands": (local(), remote(actions=("7",), commands=("3",)), RunTask("7")),
    "commands before storage": (
        local(),
        remote(commands=("3",), storages={"data/0": Life.ALIVE}),
        RunTask("3"),
    ),
    "actions before config-changed": (
        local(config_hash="old"),
        remote(actions=("7",)),
        RunTask("7"),
    ),
    "actions in a hook error": (
        local(pending=failed(CONFIG)),
        remote(actions=("7",)),
        RunTask("7"),
    ),
    "no action between config-changed and start": (
        local(started=False, pending=Pending(hook("start"), Step.QUEUED)),
        remote(actions=("7",)),
        RunHook(hook("start")),
    ),
    "an action that was cut off fails": (local(task="7"), remote(actions=("8",)), FailTask("7")),
    # Storage.
    "storage before config-changed": (
        local(config_hash="old"),
        remote(storages={"data/0": Life.ALIVE}),
        RunHook(ATTACHED),
    ),
    "storage that goes is detached": (
        local(storages=frozenset({"data/0"})),
        remote(storages={"data/0": DYING}),
        RunHook(DETACHING),
    ),
    "storage that goes unseen needs no hook": (local(), remote(storages={"data/0": DYING}), None),
    # Refresh.
    "another charm before config-changed": (
        local(config_hash="old"),
        remote(charm_version=2),
        Upgrade(2),
    ),
    "another charm before relations": (
        local(relations={3: LocalRelation()}),
        remote(charm_version=2, relations={3: rel(members={"pg/0": 1})}),
        Upgrade(2),
    ),
    "an upgrade that was cut off goes on": (
        local(upgrading=True),
        remote(charm_version=2, actions=("1",)),
        Upgrade(2),
    ),
    "another charm out of an error": (
        local(pending=failed(CONFIG)),
        remote(charm_version=2),
        Upgrade(2),
    ),
    "a unit that goes is not upgraded": (
        local(),
        remote(life=DYING, charm_version=2),
        RunHook(hook("stop")),
    ),
    # Relations.
    "the application's data first": (
        local(relations={3: LocalRelation()}),
        remote(relations={3: rel(app_version=5, members={"pg/0": 1})}),
        RunHook(db("relation-changed", version="5")),
    ),
    "no changed for an application that wrote nothing": (
        local(relations={3: LocalRelation()}),
        remote(relations={3: rel()}),
        None,
    ),
    "changed follows joined at once": (
        local(relations={3: LocalRelation(members={"pg/1": 0}, changed_pending="pg/1")}),
        remote(relations={3: rel(app_version=9, members={"pg/0": 1, "pg/1": 2})}),
        RunHook(db("relation-changed", remote_unit="pg/1", version="2")),
    ),
    "a promise to one who left is void": (
        local(relations={3: LocalRelation(members={"pg/1": 0}, changed_pending="pg/1")}),
        remote(relations={3: rel()}),
        RunHook(db("relation-departed", remote_unit="pg/1", departing_unit="pg/1")),
    ),
    "units in order": (
        local(relations={3: LocalRelation()}),
        remote(relations={3: rel(members={"pg/1": 1, "pg/0": 1})}),
        RunHook(db("relation-joined", remote_unit="pg/0", version="1")),
    ),
    "changed when the version grows": (
        local(relations={3: LocalRelation(members={"pg/0": 1})}),
        remote(relations={3: rel(members={"pg/0": 2})}),
        RunHook(db("relation-changed", remote_unit="pg/0", version="2")),
    ),
    "departures before arrivals": (
        local(relations={3: LocalRelation(members={"pg/1": 1})}),
        remote(relations={3: rel(app_version=4, members={"pg/0": 1})}),
        RunHook(db("relation-departed", remote_unit="pg/1", departing_unit="pg/1")),
    ),
    "a relation that goes: departed": (
        local(relations={3: LocalRelation(members={"pg/0": 1})}),
        remote(relations={3: rel(life=DYING, members={"pg/0": 1})}),
        RunHook(db("relation-departed", remote_unit="pg/0", departing_unit="pg/0")),
    ),
    "a relation that goes: then broken": (
        local(relations={3: LocalRelation()}),
        remote(relations={3: rel(life=DYING)}),
        RunHook(db("relation-broken")),
    ),
    "a relation that goes is not created": (
        local(),
        remote(relations={3: rel(life=DYING)}),
        None,
    ),
    "an application that goes departs itself": (
        local(relations={3: LocalRelation(members={"pg/0": 1})}),
        remote(app_life=DYING, relations={3: rel(life=DYING, members={"pg/0": 1})}),
        RunHook(db("relation-departed", remote_unit="pg/0", departing_unit="app/0")),
    ),
    "a relation taken by force is forgotten": (
        local(relations={3: LocalRelation(members={"pg/0": 1})}),
        remote(),
        SkipHook(Hook("relation-broken", relation=3)),
    ),
    "a failed hook of a relation taken by force is skipped": (
        local(pending=failed(db("relation-changed"))),
        remote(),
        SkipHook(db("relation-changed")),
    ),
    # Removal.
    "removal: storage first": (
        local(storages=frozenset({"data/0"}), relations={3: LocalRelation()}),
        remote(life=DYING, storages={"data/0": Life.ALIVE}, relations={3: rel()}),
        RunHook(DETACHING),
    ),
    "removal: then departed by itself": (
        local(relations={3: LocalRelation(members={"pg/0": 1})}),
        remote(life=DYING, relations={3: rel(members={"pg/0": 1})}),
        RunHook(db("relation-departed", remote_unit="pg/0", departing_unit="app/0")),
    ),
    "removal: then broken": (
        local(relations={3: LocalRelation()}),
        remote(life=DYING, relations={3: rel(members={"pg/0": 1})}),
        RunHook(db("relation-broken")),
    ),
    "removal: peers depart": (
        local(relations={0: LocalRelation(members={"app/1": 1})}),
        remote(life=DYING, relations={0: peer(members={"app/1": 1})}),
        RunHook(mates("relation-departed", remote_unit="app/1", departing_unit="app/0")),
    ),
    "removal: peers are never broken": (
        local(relations={0: LocalRelation()}),
        remote(life=DYING, relations={0: peer(members={"app/1": 1})}),
        RunHook(hook("stop")),
    ),
    "removal: then stop": (local(), remote(life=DYING), RunHook(hook("stop"))),
    "removal: then remove": (local(stopped=True), remote(life=DYING), RunHook(hook("remove"))),
    "removal: then nothing": (local(removed=True), remote(life=DYING), Terminate()),
    "removal of what was never installed": (fresh(), remote(life=DYING), Terminate()),
    "removal waits for a failed hook": (
        local(pending=failed(CONFIG)),
        remote(life=DYING),
        None,
    ),
    "removal in the middle of the setup": (
        fresh(installed=True),
        remote(life=DYING, relations={3: rel()}, storages={"data/0": Life.ALIVE}),
        RunHook(hook("stop")),
    ),
    # Errors.
    "a failed hook waits": (local(pending=failed(CONFIG)), remote(), None),
    "a failed hook is tried again": (
        local(pending=failed(CONFIG)),
        remote(retry_due=True),
        RunHook(CONFIG),
    ),
    "resolved tries now": (
        local(pending=failed(CONFIG)),
        remote(resolved=Resolved.RETRY),
        RunHook(CONFIG),
    ),
    "resolved --no-retry skips": (
        local(pending=failed(CONFIG)),
        remote(resolved=Resolved.SKIP),
        SkipHook(CONFIG),
    ),
    "a failed install holds up everything": (
        fresh(pending=failed(hook("install"))),
        remote(actions=("1",), workload=(READY,)),
        None,
    ),
    "a hook that was cut off runs again": (
        local(pending=Pending(CONFIG, Step.RUNNING)),
        remote(actions=("1",), workload=(READY,)),
        RunHook(CONFIG),
    ),
    "no relation in a hook error": (
        local(pending=failed(CONFIG)),
        remote(relations={3: rel()}),
        None,
    ),
    # update-status.
    "update-status when nothing else": (
        local(),
        remote(update_status=1),
        RunHook(hook("update-status", version="1")),
    ),
    "update-status after relations": (
        local(relations={3: LocalRelation()}),
        remote(update_status=1, relations={3: rel(members={"pg/0": 1})}),
        RunHook(db("relation-joined", remote_unit="pg/0", version="1")),
    ),
    "no update-status in a hook error": (
        local(pending=failed(CONFIG)),
        remote(update_status=1),
        None,
    ),
    "no update-status for the dying": (
        local(),
        remote(life=DYING, update_status=1),
        RunHook(hook("stop")),
    ),
    "config before update-status": (
        local(config_hash="old"),
        remote(update_status=1),
        RunHook(CONFIG),
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_next(row):
    before, wishes, wanted = row
    assert uniter.next_operation(before, wishes) == wanted


def test_there_are_rows_enough():
    assert len(ROWS) >= 60


NAMES = {
    hook("install"): "install",
    db("relation-joined"): "db-relation-joined",
    ATTACHED: "data-storage-attached",
    READY: "web-pebble-ready",
    NOTICE: "web-pebble-custom-notice",
    hook("secret-changed", secret="x"): "secret-changed",
}


@pytest.mark.parametrize(("one", "name"), NAMES.items(), ids=NAMES.values())
def test_names(one, name):
    assert one.name == name


def run(before, operation):
    return uniter.succeed(uniter.begin(before, operation), operation)


COMMITS = {
    "install": (fresh(), hook("install"), {"installed": True}),
    "config-changed of a new unit queues start": (
        fresh(installed=True),
        CONFIG,
        {"config_hash": "c", "pending": Pending(hook("start"), Step.QUEUED)},
    ),
    "config-changed of a started one does not": (
        local(config_hash="old"),
        CONFIG,
        {"config_hash": "c", "pending": None},
    ),
    "upgrade-charm queues config-changed": (
        local(),
        hook("upgrade-charm"),
        {"pending": Pending(hook("config-changed"), Step.QUEUED)},
    ),
    "start": (local(started=False), hook("start", version="b9"), {"started": True, "boot": "b9"}),
    "stop": (local(), hook("stop"), {"stopped": True, "started": False}),
    "remove": (local(), hook("remove"), {"removed": True}),
    "pebble-ready": (local(), READY, {"containers": {"web": "b2"}}),
    "attached": (local(), ATTACHED, {"storages": frozenset({"data/0"})}),
    "detaching": (local(storages=frozenset({"data/0"})), DETACHING, {"storages": frozenset()}),
    "created": (local(), db("relation-created"), {"relations": {3: LocalRelation()}}),
    "joined promises changed": (
        local(relations={3: LocalRelation()}),
        db("relation-joined", remote_unit="pg/0", version="4"),
        {"relations": {3: LocalRelation({"pg/0": 0}, 0, "pg/0")}},
    ),
    "changed keeps the promise": (
        local(relations={3: LocalRelation({"pg/0": 0}, 0, "pg/0")}),
        db("relation-changed", remote_unit="pg/0", version="4"),
        {"relations": {3: LocalRelation({"pg/0": 4})}},
    ),
    "changed of the application": (
        local(relations={3: LocalRelation()}),
        db("relation-changed", version="4"),
        {"relations": {3: LocalRelation({}, 4)}},
    ),
    "departed": (
        local(relations={3: LocalRelation({"pg/0": 0}, 0, "pg/0")}),
        db("relation-departed", remote_unit="pg/0"),
        {"relations": {3: LocalRelation()}},
    ),
    "broken": (local(relations={3: LocalRelation()}), db("relation-broken"), {"relations": {}}),
    "secret-changed": (
        local(),
        hook("secret-changed", secret="s", version="2"),
        {"secrets": {"s": 2}},
    ),
    "secret-remove": (
        local(),
        hook("secret-remove", secret="s", revision=2),
        {"obsolete": frozenset({"s/2"})},
    ),
    "update-status": (local(), hook("update-status", version="3"), {"update_status": 3}),
}


@pytest.mark.parametrize("row", COMMITS.values(), ids=COMMITS)
def test_commit(row):
    before, one, changed = row
    after = run(before, RunHook(one))
    assert after == dataclasses.replace(before, **{"pending": None, **changed})


def test_a_failure_is_counted_and_kept():
    once = uniter.fail(uniter.begin(local(), RunHook(CONFIG)), RunHook(CONFIG))
    assert once.pending == failed(CONFIG)
    again = uniter.fail(uniter.begin(once, RunHook(CONFIG)), RunHook(CONFIG))
    assert again.pending == failed(CONFIG, 2)
    assert run(again, RunHook(CONFIG)).pending is None


def test_a_skipped_pebble_ready_comes_again():
    before = local(pending=failed(READY))
    after = uniter.succeed(before, SkipHook(READY))
    assert after.pending is None
    assert uniter.next_operation(after, remote(workload=(READY,))) == RunHook(READY)


def test_leadership_queues_its_hook():
    after = run(local(), AcceptLeadership())
    assert after.leader
    assert after.pending == Pending(hook("leader-elected"), Step.QUEUED)
    assert not run(after, ResignLeadership()).leader


def test_a_task_leaves_the_failed_hook_alone():
    before = local(pending=failed(CONFIG))
    during = uniter.begin(before, RunTask("7"))
    assert during.task == "7"
    assert uniter.succeed(during, RunTask("7")) == before
    assert uniter.fail(during, RunTask("7")) == before


def test_a_refresh_runs_upgrade_charm_config_changed_start():
    state = run(local(), Upgrade(2))
    wishes = remote(charm_version=2, config_hash="c", boot="b2")
    ran = []
    while operation := uniter.next_operation(state, wishes):
        operation = RunHook(uniter.queued_hook(operation.hook, wishes))
        ran.append(operation.hook.name)
        state = run(state, operation)
    assert ran == ["upgrade-charm", "config-changed", "start"]
    assert state.boot == "b2"


def test_a_refresh_out_of_an_error_tries_the_failed_hook_and_no_upgrade_hooks():
    state = run(local(pending=failed(CONFIG, 3)), Upgrade(2))
    assert state.pending == Pending(CONFIG, Step.QUEUED)
    assert state.started


HOOKS = st.builds(
    Hook,
    st.sampled_from(["install", "start", "relation-changed", "secret-remove"]),
    endpoint=st.text(max_size=5),
    relation=st.integers(-1, 9),
    version=st.text(max_size=5),
)
LOCALS = st.builds(
    Local,
    installed=st.booleans(),
    started=st.booleans(),
    leader=st.booleans(),
    task=st.text(max_size=3),
    pending=st.none() | st.builds(Pending, HOOKS, st.sampled_from(list(Step)), st.integers(0, 99)),
    relations=st.dictionaries(
        st.integers(0, 99),
        st.builds(
            LocalRelation,
            st.dictionaries(st.text(max_size=5), st.integers(0, 9), max_size=3),
            st.integers(0, 9),
            st.text(max_size=3),
        ),
        max_size=3,
    ),
    storages=st.frozensets(st.text(max_size=5), max_size=3),
    containers=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    secrets=st.dictionaries(st.text(max_size=5), st.integers(1, 9), max_size=3),
    obsolete=st.frozensets(st.text(max_size=5), max_size=3),
)


@given(LOCALS)
def test_what_is_saved_is_read_back(state):
    import json

    assert Local.from_json(json.loads(json.dumps(state.to_json()))) == state


MEMBERS = st.dictionaries(st.sampled_from(["pg/0", "pg/1", "pg/2"]), st.integers(1, 9))
WISHES = st.builds(
    Remote,
    unit=st.just("app/0"),
    life=st.sampled_from([Life.ALIVE, Life.DYING]),
    leader=st.booleans(),
    boot=st.sampled_from(["b1", "b2"]),
    charm_version=st.just(1),
    config_hash=st.sampled_from(["c1", "c2"]),
    relations=st.dictionaries(
        st.integers(0, 2),
        st.builds(
            RemoteRelation,
            endpoint=st.just("db"),
            app=st.just("pg"),
            peer=st.booleans(),
            life=st.sampled_from([Life.ALIVE, Life.DYING]),
            members=MEMBERS,
            app_version=st.integers(0, 9),
        ),
    ),
    storages=st.dictionaries(
        st.sampled_from(["data/0", "data/1"]), st.sampled_from([Life.ALIVE, Life.DYING])
    ),
    changed=st.dictionaries(st.sampled_from(["s", "t"]), st.integers(1, 9)),
    obsolete=st.tuples(st.tuples(st.just("s"), st.integers(1, 3))),
    update_status=st.integers(0, 3),
)


@given(st.lists(WISHES, min_size=1, max_size=4))
def test_it_always_comes_to_rest_and_keeps_its_promises(wishes):
    """Whatever the model wants, in whatever order: no loop, and hooks come in pairs."""
    state, hooks = fresh(), []
    seen: set[int] = set()
    gone: set[int] = set()
    for wish in wishes:
        # The id of a relation that has gone is never given again.
        gone |= seen - wish.relations.keys()
        seen |= wish.relations.keys()
        living = {key: value for key, value in wish.relations.items() if key not in gone}
        wish = dataclasses.replace(wish, relations=living)
        for _ in range(200):
            operation = uniter.next_operation(state, wish)
            if operation is None or isinstance(operation, Terminate):
                break
            if isinstance(operation, RunHook):
                operation = RunHook(uniter.queued_hook(operation.hook, wish))
                hooks.append(operation.hook)
            state = run(state, operation)
        else:
            pytest.fail(f"no rest after {[one.name for one in hooks[-10:]]}")
        if isinstance(operation, Terminate):
            break
    names = [one.name for one in hooks]
    assert names.count("install") <= 1
    assert names.count("stop") <= 1
    joined = set()
    for number, one in enumerate(hooks):
        key = (one.relation, one.remote_unit)
        match one.kind:
            case "start":
                assert "config-changed" in names[:number]
            case "relation-joined":
                assert key not in joined
                joined.add(key)
            case "relation-departed":
                assert key in joined
                joined.discard(key)
            case "relation-changed" if one.remote_unit:
                assert key in joined
            case "relation-broken":
                assert not any(relation == one.relation for relation, _ in joined)
