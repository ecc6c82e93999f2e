"""Which module holds each verb, so that a command imports only its own."""

from __future__ import annotations

import difflib
import importlib

from .verb import UsageError, Verb

# Module: its verbs. A test holds this against the modules.
MODULES = {
    "deploy": ("deploy", "refresh"),
    "status": ("status", "show-status-log"),
    "config": ("config", "model-config", "trust"),
    "applications": (
        "integrate",
        "remove-relation",
        "add-unit",
        "remove-unit",
        "scale-application",
        "remove-application",
        "resolved",
    ),
    "models": ("add-model", "models", "show-model", "switch", "destroy-model"),
    "tasks": ("run", "exec", "ssh"),
    "log": ("debug-log",),
    "show": ("show-unit", "show-application", "secrets", "show-secret"),
    "secrets": (
        "add-secret",
        "update-secret",
        "grant-secret",
        "revoke-secret",
        "remove-secret",
    ),
    "wait": ("wait-for",),
    "controller": ("version", "bootstrap", "controllers", "whoami", "shutdown", "shim-path"),
}

ALIASES = {
    "relate": "integrate",
    "list-models": "models",
    "list-secrets": "secrets",
    "list-controllers": "controllers",
    "resolve": "resolved",
    "upgrade-charm": "refresh",
    "kill-controller": "shutdown",
}

# Juju's other verbs: known, so that they are told from a slip of the keyboard.
UNBUILT = frozenset(
    [
        "actions",
        "add-cloud",
        "add-credential",
        "add-k8s",
        "add-machine",
        "add-secret-backend",
        "add-space",
        "add-ssh-key",
        "add-storage",
        "add-user",
        "attach-resource",
        "attach-storage",
        "autoload-credentials",
        "bind",
        "cancel-task",
        "change-user-password",
        "charm-resources",
        "clouds",
        "config-get",
        "constraints",
        "consume",
        "controller-config",
        "create-backup",
        "create-storage-pool",
        "credentials",
        "dashboard",
        "debug-code",
        "debug-hooks",
        "default-credential",
        "default-region",
        "destroy-controller",
        "detach-storage",
        "diff-bundle",
        "disable-command",
        "disable-user",
        "disabled-commands",
        "download",
        "download-backup",
        "enable-command",
        "enable-destroy-controller",
        "enable-ha",
        "enable-user",
        "export-bundle",
        "expose",
        "find",
        "find-offers",
        "firewall-rules",
        "grant",
        "grant-cloud",
        "help-action-commands",
        "help-hook-commands",
        "import-filesystem",
        "import-ssh-key",
        "info",
        "login",
        "logout",
        "machines",
        "migrate",
        "model-constraints",
        "model-default",
        "model-defaults",
        "model-secret-backend",
        "move-to-space",
        "offer",
        "offers",
        "operations",
        "payloads",
        "refresh-secret-backend",
        "regions",
        "register",
        "reload-spaces",
        "remove-cloud",
        "remove-credential",
        "remove-k8s",
        "remove-machine",
        "remove-offer",
        "remove-saas",
        "remove-secret-backend",
        "remove-space",
        "remove-ssh-key",
        "remove-storage",
        "remove-storage-pool",
        "remove-unit-storage",
        "remove-user",
        "rename-space",
        "resources",
        "resume-relation",
        "retry-provisioning",
        "revoke",
        "revoke-cloud",
        "scp",
        "secret-backends",
        "set-constraints",
        "set-credential",
        "set-default-credentials",
        "set-firewall-rule",
        "set-meter-status",
        "set-model-constraints",
        "show-action",
        "show-cloud",
        "show-controller",
        "show-credential",
        "show-machine",
        "show-offer",
        "show-operation",
        "show-secret-backend",
        "show-space",
        "show-storage",
        "show-task",
        "show-user",
        "spaces",
        "ssh-keys",
        "storage",
        "storage-pools",
        "subnets",
        "suspend-relation",
        "sync-agent-binary",
        "unexpose",
        "unregister",
        "update-cloud",
        "update-credential",
        "update-k8s",
        "update-secret-backend",
        "update-storage-pool",
        "upgrade-controller",
        "upgrade-machine",
        "upgrade-model",
        "users",
    ]
)


def names() -> list[str]:
    """Every verb there is, sorted."""
    return sorted(name for verbs in MODULES.values() for name in verbs)


def find(program: str, name: str) -> Verb:
    """The verb of that name or alias.

    Raises:
        UsageError: There is none; says whether Juju has it, and what was perhaps meant.
    """
    wanted = ALIASES.get(name, name)
    for module, verbs in MODULES.items():
        if wanted in verbs:
            return next(verb for verb in load(module) if verb.name == wanted)
    if wanted in UNBUILT:
        raise UsageError(f"{program} {name}: not built in minijuju yet")
    close = difflib.get_close_matches(name, [*names(), *ALIASES], n=1)
    guess = f"\n\nDid you mean:\n\t{close[0]}" if close else ""
    raise UsageError(
        f'"{name}" is not a {program} command. See "{program} --help".{guess}\n\n'
        f"The commands are: {', '.join(names())}"
    )


def load(module: str) -> tuple[Verb, ...]:
    """The verbs of one module."""
    found: tuple[Verb, ...] = importlib.import_module(f"{__package__}.{module}").VERBS
    return found
