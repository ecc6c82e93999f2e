"""Which module holds each verb, so that a command imports only its own."""

from __future__ import annotations

import importlib

from . import refusals
from .verb import CommandError, UsageError, Verb

# Module: its verbs. A test holds this against the modules.
MODULES = {
    "deploy": ("deploy", "refresh"),
    "bundles": ("diff-bundle", "export-bundle"),
    "status": ("status", "show-status-log"),
    "config": (
        "config",
        "model-config",
        "trust",
        "model-defaults",
        "constraints",
        "set-constraints",
        "model-constraints",
        "set-model-constraints",
        "expose",
        "unexpose",
    ),
    "applications": (
        "integrate",
        "remove-relation",
        "add-unit",
        "remove-unit",
        "scale-application",
        "remove-application",
        "resolved",
    ),
    "offers": (
        "offer",
        "offers",
        "find-offers",
        "show-offer",
        "consume",
        "remove-offer",
        "suspend-relation",
        "resume-relation",
        "remove-saas",
    ),
    "models": ("add-model", "models", "show-model", "switch", "destroy-model"),
    "tasks": ("run", "exec"),
    "operations": (
        "actions",
        "show-action",
        "operations",
        "show-operation",
        "show-task",
        "cancel-task",
    ),
    "ssh": ("ssh", "scp"),
    "log": ("debug-log",),
    "show": ("show-unit", "show-application", "secrets", "show-secret"),
    "secrets": (
        "add-secret",
        "update-secret",
        "grant-secret",
        "revoke-secret",
        "remove-secret",
    ),
    "stores": (
        "storage",
        "show-storage",
        "remove-storage",
        "storage-pools",
        "resources",
        "attach-resource",
    ),
    "store": ("find", "info", "download", "charm-resources"),
    "wait": ("wait-for",),
    "controller": (
        "version",
        "bootstrap",
        "controllers",
        "show-controller",
        "destroy-controller",
        "kill-controller",
        "shutdown",
        "backup",
        "restore",
        "shim-path",
    ),
    "account": ("whoami", "users", "show-user", "clouds", "show-cloud"),
    "completion": ("completion",),
}

ALIASES = {
    "list-actions": "actions",
    "list-charm-resources": "charm-resources",
    "list-clouds": "clouds",
    "list-controllers": "controllers",
    "list-models": "models",
    "list-offers": "offers",
    "list-operations": "operations",
    "list-resources": "resources",
    "list-secrets": "secrets",
    "list-storage": "storage",
    "list-storage-pools": "storage-pools",
    "list-users": "users",
    "model-default": "model-defaults",
    "relate": "integrate",
    "resolve": "resolved",
    "show-status": "status",
    "upgrade-charm": "refresh",
}


def names() -> list[str]:
    """Every verb there is, sorted."""
    return sorted(name for verbs in MODULES.values() for name in verbs)


def find(program: str, name: str) -> Verb:
    """The verb of that name or alias.

    Raises:
        UsageError: There is none; says what was perhaps meant.
        CommandError: Juju has it and minijuju has not; says why.
    """
    module = module_of(name)
    if module:
        wanted = ALIASES.get(name, name)
        return next(verb for verb in load(module) if verb.name == wanted)
    if reason := refusals.reason(name):
        raise CommandError(reason)
    import difflib

    close = difflib.get_close_matches(name, [*names(), *ALIASES], n=1)
    guess = f"\n\nDid you mean:\n\t{close[0]}" if close else ""
    raise UsageError(
        f'{program}: "{name}" is not a {program} command. See "{program} --help".{guess}\n\n'
        f"The commands are: {', '.join(names())}"
    )


def module_of(name: str) -> str:
    """The module of a verb or alias; empty if there is none."""
    wanted = ALIASES.get(name, name)
    return next((module for module, verbs in MODULES.items() if wanted in verbs), "")


def load(module: str) -> tuple[Verb, ...]:
    """The verbs of one module."""
    found: tuple[Verb, ...] = importlib.import_module(f"{__package__}.{module}").VERBS
    return found
