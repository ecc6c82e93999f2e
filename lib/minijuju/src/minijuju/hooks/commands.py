"""The hook commands by name, and how one is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from minijuju.errors import JujuError
from minijuju.hooks import credential, relation, secret, unit
from minijuju.hooks.context import Context
from minijuju.hooks.parser import UsageError
from minijuju.hooks.tools import NAMES

Command = Callable[[Context, Sequence[str], str], str]

COMMANDS: Mapping[str, Command] = {
    "action-fail": unit.action_fail,
    "action-get": unit.action_get,
    "action-log": unit.action_log,
    "action-set": unit.action_set,
    "application-version-set": unit.application_version_set,
    "close-port": unit.close_port,
    "config-get": unit.config_get,
    "credential-get": credential.credential_get,
    "goal-state": unit.goal_state,
    "is-leader": unit.is_leader,
    "juju-log": unit.juju_log,
    "juju-reboot": unit.not_on_kubernetes,
    "network-get": unit.network_get,
    "open-port": unit.open_port,
    "opened-ports": unit.opened_ports,
    "relation-get": relation.relation_get,
    "relation-ids": relation.relation_ids,
    "relation-list": relation.relation_list,
    "relation-model-get": relation.relation_model_get,
    "relation-set": relation.relation_set,
    "resource-get": unit.resource_get,
    "secret-add": secret.secret_add,
    "secret-get": secret.secret_get,
    "secret-grant": secret.secret_grant,
    "secret-ids": secret.secret_ids,
    "secret-info-get": secret.secret_info_get,
    "secret-remove": secret.secret_remove,
    "secret-revoke": secret.secret_revoke,
    "secret-set": secret.secret_set,
    "state-delete": unit.state_delete,
    "state-get": unit.state_get,
    "state-set": unit.state_set,
    "status-get": unit.status_get,
    "status-set": unit.status_set,
    "storage-add": unit.storage_add,
    "storage-get": unit.storage_get,
    "storage-list": unit.storage_list,
    "unit-get": unit.unit_get,
}

if set(COMMANDS) != set(NAMES):
    raise RuntimeError("the hook commands and their names differ")


def run(context: Context, argv: Sequence[str], stdin: str) -> tuple[int, str, str]:
    """Run one command: exit code, standard output, standard error."""
    name, *arguments = argv or [""]
    command = COMMANDS.get(name)
    if command is None:
        return 1, "", f"ERROR hook command {name!r} not supported\n"
    try:
        return 0, command(context, arguments, stdin), ""
    except UsageError as error:
        return 2, "", f"ERROR {error}\n"
    except JujuError as error:
        return 1, "", f"ERROR {error}\n"
