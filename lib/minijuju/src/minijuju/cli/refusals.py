"""Juju's verbs that minijuju has not, each with the reason and what to do instead."""

from __future__ import annotations

_CONTAINERS = 'Juju command "{name}" not supported on container models'
_NOT = 'Juju command "{name}" is not in minijuju: '

# Reason: the verbs. A verb that Juju 3.6 has is here, in the catalog, or one of its aliases.
REASONS = {
    # In Juju's own words: a Kubernetes model refuses them there too.
    _CONTAINERS: (
        "add-machine",
        "add-ssh-key",
        "add-storage",
        "attach-storage",
        "detach-storage",
        "import-filesystem",
        "import-ssh-key",
        "list-machines",
        "list-ssh-keys",
        "machines",
        "remove-machine",
        "remove-ssh-key",
        "retry-provisioning",
        "show-machine",
        "ssh-keys",
        "upgrade-machine",
    ),
    _NOT + "there is one user, admin, whom the data folder belongs to and who may do everything": (
        "add-user",
        "change-user-password",
        "disable-user",
        "enable-user",
        "grant",
        "grant-cloud",
        "login",
        "logout",
        "register",
        "remove-user",
        "revoke",
        "revoke-cloud",
    ),
    _NOT
    + "there is one cloud, this machine; bootstrap --kubeconfig names the cluster for charms": (
        "add-cloud",
        "add-credential",
        "add-k8s",
        "autoload-credentials",
        "credentials",
        "default-credential",
        "default-region",
        "list-credentials",
        "list-regions",
        "regions",
        "remove-cloud",
        "remove-credential",
        "remove-k8s",
        "set-credential",
        "show-credential",
        "update-cloud",
        "update-credential",
        "update-k8s",
        "update-public-clouds",
    ),
    _NOT
    + "there is one controller, which starts by itself; its settings are those of bootstrap": (
        "controller-config",
        "enable-destroy-controller",
        "enable-ha",
        "migrate",
        "sync-agent-binary",
        "unregister",
        "upgrade-controller",
        "upgrade-model",
    ),
    _NOT + "every endpoint is in the one space, alpha": (
        "add-space",
        "bind",
        "firewall-rules",
        "list-firewall-rules",
        "list-spaces",
        "list-subnets",
        "move-to-space",
        "reload-spaces",
        "remove-space",
        "rename-space",
        "set-firewall-rule",
        "show-space",
        "spaces",
        "subnets",
    ),
    _NOT + "a hook cannot be held open; see debug-log, show-status-log, exec and resolved": (
        "debug-code",
        "debug-hook",
        "debug-hooks",
    ),
    _NOT + "secrets are kept by the controller, encrypted; there is no other place for them": (
        "add-secret-backend",
        "list-secret-backends",
        "model-secret-backend",
        "remove-secret-backend",
        "secret-backends",
        "show-secret-backend",
        "update-secret-backend",
    ),
    _NOT + "storage comes from the one pool, kubernetes": (
        "create-storage-pool",
        "remove-storage-pool",
        "update-storage-pool",
    ),
    _NOT + "`minijuju backup` copies the controller's database": (
        "create-backup",
        "download-backup",
    ),
    _NOT + "nothing can be switched off": (
        "disable-command",
        "disabled-commands",
        "enable-command",
        "list-disabled-commands",
    ),
    _NOT + "it is gone from Juju 4": (
        "agree",
        "agreements",
        "attach-plan",
        "collect-metrics",
        "dashboard",
        "list-payloads",
        "metrics",
        "payloads",
        "set-application-base",
        "set-meter-status",
    ),
    _NOT + "juju's documentation lists the hook commands": (
        "help-action-commands",
        "help-hook-commands",
        "help-tool",
        "hook-tool",
    ),
}


def reason(name: str) -> str:
    """Why a verb of Juju's is not here; empty if it is none."""
    return next((text.format(name=name) for text, verbs in REASONS.items() if name in verbs), "")
