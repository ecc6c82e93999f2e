"""secret-add, -set, -get, -info-get, -ids, -grant, -revoke, -remove."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from minijuju import secrets
from minijuju.hooks.context import CommandError, Context, SecretDraft, moment
from minijuju.hooks.output import pairs, render, settings
from minijuju.hooks.parser import Arguments, parse
from minijuju.state import xid

_DRAFT = {
    name: name for name in ("label", "description", "expire", "rotate", "owner", "file", "format")
}


def secret_add(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Make a secret when the run ends well; its URI is known at once."""
    arguments = parse(argv, _DRAFT)
    draft = _draft(arguments, arguments.rest, stdin)
    secrets.check_content(draft.content or {})
    kind = arguments.get("owner", "application")
    if kind not in ("application", "unit"):
        raise CommandError(f'secret owner "{kind}" not valid')
    if kind == "application" and not context.leader():
        raise CommandError("this unit is not the leader")
    draft.owner_kind = kind
    draft.owner = context.application_name if kind == "application" else context.unit
    identity = xid()
    context.writes.created[identity] = draft
    return f"secret:{identity}\n"


def secret_set(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Change a secret when the run ends well; new content makes a new revision."""
    arguments = parse(argv, _DRAFT)
    if not arguments.rest:
        raise CommandError("missing secret URI")
    identity = secrets.parse_id(arguments.rest[0])
    draft = _draft(arguments, arguments.rest[1:], stdin)
    if draft.content:
        secrets.check_content(draft.content)
    if identity in context.writes.created:
        _merge(context.writes.created[identity], draft)
        return ""
    _managed(context, identity)
    _merge(context.writes.changed.setdefault(identity, SecretDraft()), draft)
    return ""


def _draft(arguments: Arguments, items: tuple[str, ...], stdin: str) -> SecretDraft:
    raw = settings(stdin, "secret") if arguments.get("file") else {}
    raw.update(pairs(items, "secret"))
    content: dict[str, str] = {}
    for key, value in raw.items():
        name, mark, coding = key.partition("#")
        if mark and coding != "base64":
            raise CommandError(f'key "{key}" not valid')
        try:
            content[name] = base64.b64decode(value, validate=True).decode() if mark else value
        except (binascii.Error, UnicodeDecodeError):
            raise CommandError(f'value of key "{name}" is not text in base64') from None
    rotation = arguments.flags.get("rotate")
    if rotation is not None and rotation not in (*secrets.ROTATION, "never", ""):
        raise CommandError(f'rotate policy "{rotation}" not valid')
    expire = arguments.get("expire")
    return SecretDraft(
        content=content or None,
        label=arguments.flags.get("label"),
        description=arguments.flags.get("description"),
        rotation=rotation,
        expires=moment(expire) if expire else None,
    )


def _merge(into: SecretDraft, draft: SecretDraft) -> None:
    for name in ("content", "label", "description", "rotation", "expires"):
        value = getattr(draft, name)
        if value is not None:
            setattr(into, name, value)


def _managed(context: Context, identity: str) -> secrets.Secret:
    secret = secrets.find(context.state, context.model.uuid, identity)
    if secret is None or (identity, None) in context.writes.removed:
        raise CommandError(f'secret "{identity}" not found')
    if not context.manages(secret):
        if secret.owner_kind == "application" and secret.owner == context.application_name:
            raise CommandError("this unit is not the leader")
        raise CommandError("permission denied")
    return secret


def secret_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The content of a secret: of the revision that the unit follows, or of the latest."""
    arguments = parse(argv, {"label": "label", "format": "format"}, ("refresh", "peek"))
    label, refresh, peek = arguments.get("label"), arguments.on("refresh"), arguments.on("peek")
    if refresh and peek:
        raise CommandError("specify one of --refresh or --peek")
    text = arguments.rest[0] if arguments.rest else ""
    key = arguments.rest[1] if len(arguments.rest) > 1 else ""
    if not text and not label:
        raise CommandError("require either a secret URI or label")
    identity = secrets.parse_id(text) if text else _by_label(context, label)
    content = _content(context, identity, label if text else "", refresh=refresh, peek=peek)
    return render(content.get(key) if key else content, arguments.get("format"))


def _by_label(context: Context, label: str) -> str:
    for drafts in (context.writes.created, context.writes.changed):
        for identity, draft in drafts.items():
            if draft.label == label:
                return identity
    found = secrets.labelled(context.state, context.model.uuid, context.unit, label)
    if found is None:
        raise CommandError(f'secret "{label}" not found')
    return found.id


def _content(
    context: Context, identity: str, label: str, *, refresh: bool, peek: bool
) -> dict[str, str]:
    created = context.writes.created.get(identity)
    if created:
        return dict(created.content or {})
    secret = secrets.find(context.state, context.model.uuid, identity)
    if secret is None or (identity, None) in context.writes.removed:
        raise CommandError(f'secret "{identity}" not found')
    if not secrets.readable(context.state, secret, context.unit):
        raise CommandError("permission denied")
    changed = context.writes.changed.get(identity)
    if changed and changed.content and (refresh or peek):
        return dict(changed.content)
    revision = secrets.tracked(context.state, secret, context.unit)
    if peek:
        revision = secret.latest
    elif refresh or not revision or label:
        revision = secret.latest if refresh or not revision else revision
        with context.state.transaction():
            secrets.track(context.state, secret, context.unit, revision, label)
    return secrets.read(context.state, context.vault, secret, revision)


def secret_info_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """What an owner may know of a secret, without its content."""
    arguments = parse(argv, {"label": "label", "format": "format"})
    label = arguments.get("label")
    if not arguments.rest and not label:
        raise CommandError("require either a secret URI or label")
    text = arguments.rest[0] if arguments.rest else ""
    identity = secrets.parse_id(text) if text else _by_label(context, label)
    draft = context.writes.created.get(identity)
    if draft:
        info = _info(1, draft.owner_kind, draft.label, draft.description, draft.rotation)
        if draft.expires is not None:
            info["expiry"] = secrets.stamp(draft.expires)
        return render({identity: info}, arguments.get("format") or "yaml")
    secret = secrets.find(context.state, context.model.uuid, identity)
    if secret is None or not context.manages(secret):
        raise CommandError(f'secret "{text or label}" not found')
    change = context.writes.changed.get(identity) or SecretDraft()
    info = _info(
        secret.latest + (1 if change.content else 0),
        secret.owner_kind,
        change.label if change.label is not None else secret.label,
        change.description if change.description is not None else secret.description,
        change.rotation if change.rotation is not None else secret.rotation,
    )
    latest = next(
        (one for one in secrets.revisions(context.state, secret) if one.number == secret.latest),
        None,
    )
    expires = change.expires or (latest.expires if latest else None)
    if expires is not None:
        info["expiry"] = secrets.stamp(expires)
    if secret.next_rotation is not None and change.rotation is None:
        info["rotates"] = secrets.stamp(secret.next_rotation)
    access = [
        {"target": subject, "scope": f"relation-{relation}", "role": "view"}
        for subject, relation in secrets.grants(context.state, secret)
    ]
    if access:
        info["access"] = access
    return render({identity: info}, arguments.get("format") or "yaml")


def _info(
    revision: int, owner: str, label: str | None, description: str | None, rotation: str | None
) -> dict[str, Any]:
    return {
        "revision": revision,
        "label": label or "",
        "description": description or "",
        "owner": owner,
        "rotation": rotation or "never",
    }


def secret_ids(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The secrets that the unit manages."""
    arguments = parse(argv, {"format": "format"})
    found = secrets.owned(context.state, context.model.uuid, context.unit, leader=context.leader())
    ids = [secret.id for secret in found if (secret.id, None) not in context.writes.removed]
    return render([*ids, *context.writes.created], arguments.get("format"))


_GRANT = {"r": "relation", "relation": "relation", "unit": "unit", "app": "app"}


def secret_grant(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Let the application or one unit at the other side of a relation read a secret."""
    arguments = parse(argv, _GRANT)
    identity = secrets.parse_id(arguments.one("a secret URI"))
    if identity not in context.writes.created:
        _managed(context, identity)
    if not arguments.get("relation"):
        raise CommandError("no relation id specified")
    relation = context.relation(arguments.get("relation"))
    remote = relation.other(context.application_name).application
    subject = arguments.get("unit") or remote
    if subject.partition("/")[0] != remote:
        raise CommandError(f'unit "{subject}" is not in relation {relation.id}: not found')
    context.writes.grants.append((True, identity, relation.id, subject))
    return ""


def secret_revoke(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Take a grant back."""
    arguments = parse(argv, _GRANT)
    identity = secrets.parse_id(arguments.one("a secret URI"))
    if identity not in context.writes.created:
        _managed(context, identity)
    number: int | None = None
    subject = arguments.get("unit") or arguments.get("app")
    if arguments.get("relation"):
        relation = context.relation(arguments.get("relation"))
        number = relation.id
        subject = subject or relation.other(context.application_name).application
    if not subject:
        raise CommandError("require a relation, an application or a unit")
    context.writes.grants.append((False, identity, number, subject))
    return ""


def secret_remove(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Remove a secret, or one revision of it, when the run ends well."""
    arguments = parse(argv, {"revision": "revision"})
    identity = secrets.parse_id(arguments.one("a secret URI"))
    revision = arguments.get("revision")
    if revision and not revision.isdecimal():
        raise CommandError(f'revision "{revision}" not valid')
    if identity in context.writes.created:
        del context.writes.created[identity]
        context.writes.grants = [one for one in context.writes.grants if one[1] != identity]
        return ""
    _managed(context, identity)
    context.writes.removed.append((identity, int(revision) if revision else None))
    return ""
