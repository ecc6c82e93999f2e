"""The JUJU_* environment of one run of charm code."""

from __future__ import annotations

from minijuju.hooks.context import Context
from minijuju.hooks.tools import HOOKS_FOLDER, SOCKET_NAME
from minijuju.runtime import charm_folder

VERSION = "3.6.12"


def variables(context: Context) -> dict[str, str]:
    """What the charm finds in its environment, PATH apart, which is the runtime's."""
    folder = charm_folder(context.unit)
    env = {
        "CHARM_DIR": folder,
        "CLOUD_API_VERSION": "1.33.0",
        "JUJU_AGENT_SOCKET_ADDRESS": f"{HOOKS_FOLDER}/{SOCKET_NAME}",
        "JUJU_AGENT_SOCKET_NETWORK": "unix",
        "JUJU_API_ADDRESSES": "127.0.0.1:17070",
        "JUJU_AVAILABILITY_ZONE": "",
        "JUJU_CHARM_DIR": folder,
        "JUJU_CHARM_FTP_PROXY": "",
        "JUJU_CHARM_HTTPS_PROXY": "",
        "JUJU_CHARM_HTTP_PROXY": "",
        "JUJU_CHARM_NO_PROXY": "",
        "JUJU_CONTEXT_ID": context.id,
        "JUJU_MACHINE_ID": "",
        "JUJU_MODEL_NAME": context.model.name,
        "JUJU_MODEL_UUID": context.model.uuid,
        "JUJU_PRINCIPAL_UNIT": "",
        "JUJU_UNIT_NAME": context.unit,
        "JUJU_VERSION": VERSION,
    }
    if context.task is not None:
        env.update(_task(context))
    elif context.hook is not None:
        env.update(_hook(context))
    return env


def _task(context: Context) -> dict[str, str]:
    task = context.task
    if task is None or task.kind != "action":
        return {"JUJU_HOOK_NAME": "", "JUJU_DISPATCH_PATH": ""}
    return {
        "JUJU_HOOK_NAME": "",
        "JUJU_DISPATCH_PATH": f"actions/{task.name}",
        "JUJU_ACTION_NAME": task.name,
        "JUJU_ACTION_UUID": task.uuid,
        "JUJU_ACTION_TAG": f"action-{task.uuid}",
    }


def _hook(context: Context) -> dict[str, str]:
    hook = context.hook
    if hook is None:
        return {}
    env = {"JUJU_HOOK_NAME": hook.name, "JUJU_DISPATCH_PATH": f"hooks/{hook.name}"}
    if hook.relation >= 0:
        env["JUJU_RELATION"] = hook.endpoint
        env["JUJU_RELATION_ID"] = f"{hook.endpoint}:{hook.relation}"
        env["JUJU_REMOTE_APP"] = hook.remote_app
        env["JUJU_REMOTE_UNIT"] = hook.remote_unit
        if hook.departing_unit:
            env["JUJU_DEPARTING_UNIT"] = hook.departing_unit
    if hook.workload:
        env["JUJU_WORKLOAD_NAME"] = hook.workload
        if hook.kind == "pebble-custom-notice":
            env["JUJU_NOTICE_ID"] = hook.notice_id
            env["JUJU_NOTICE_TYPE"] = hook.notice_type
            env["JUJU_NOTICE_KEY"] = hook.notice_key
        if hook.check:
            env["JUJU_PEBBLE_CHECK_NAME"] = hook.check
    if hook.secret:
        env.update(_secret(context))
    if hook.storage:
        env.update(_storage(context))
    return env


def _secret(context: Context) -> dict[str, str]:
    from minijuju import secret_readers

    hook = context.hook
    if hook is None:
        return {}
    env = {"JUJU_SECRET_ID": f"secret:{hook.secret}", "JUJU_SECRET_LABEL": ""}
    if hook.revision > 0:
        env["JUJU_SECRET_REVISION"] = str(hook.revision)
    secret = secret_readers.reach(context.state, context.reader, hook.secret)
    if secret is None:
        return env
    if secret.model != context.model.uuid:
        env["JUJU_SECRET_ID"] = f"secret://{secret.model}/{secret.id}"
    if context.manages(secret):
        env["JUJU_SECRET_LABEL"] = secret.label
    else:
        label = secret_readers.consumer_label(context.state, secret, context.reader)
        env["JUJU_SECRET_LABEL"] = label
    return env


def _storage(context: Context) -> dict[str, str]:
    from minijuju import storages
    from minijuju.hooks.unit import storage_location

    hook = context.hook
    if hook is None:
        return {}
    env = {"JUJU_STORAGE_ID": hook.storage, "JUJU_STORAGE_KIND": "filesystem"}
    for storage in storages.every(context.state, context.model.uuid, context.unit):
        if storage.id == hook.storage:
            env["JUJU_STORAGE_LOCATION"] = storage_location(context, storage)
    return env
