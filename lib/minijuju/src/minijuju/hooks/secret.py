"""secret-add, -set, -get, -info-get, -ids, -grant, -revoke, -remove."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from minijuju import secret_readers, secrets, text
from minijuju.hooks.context import CommandError, Context, SecretDraft, moment
from minijuju.hooks.output import render, settings
from minijuju.hooks.parser import Arguments, UsageError, is_application, is_unit, parse
from minijuju.state import xid

_DRAFT = {
    name: name for name in ("label", "description", "expire", "rotate", "owner", "file", "format")
}


def secret_add(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Make a secret when the run ends well; its URI is known at once."""
    arguments = _parse(argv)
    if not arguments.rest and not arguments.get("file"):
        raise UsageError("missing secret value or filename")
    draft = _draft(arguments, arguments.rest, stdin)
    kind = arguments.get("owner", "application")
    if not draft.content:
        raise CommandError("empty secret value not valid")
    if kind == "application" and not context.leader():
        raise CommandError("this unit is not the leader")
    for made in context.writes.created.values():
        if draft.label and made.label == draft.label:
            raise CommandError(f'secret with label "{draft.label}" already exists')
    draft.owner_kind = kind
    draft.owner = context.application_name if kind == "application" else context.unit
    identity = xid()
    context.writes.created[identity] = draft
    return f"secret:{identity}\n"


def _parse(argv: Sequence[str]) -> Arguments:
    """The arguments, of which only those of contents may be other bytes than text."""
    found = parse(argv, _DRAFT)
    return Arguments({name: text.valid(value) for name, value in found.flags.items()}, found.rest)


def _identity(arguments: Arguments) -> str:
    if not arguments.rest:
        raise UsageError("missing secret URI")
    return _parsed(arguments.rest[0])


def _parsed(uri: str) -> str:
    try:
        return secrets.parse_id(uri)
    except secrets.SecretError as error:
        raise UsageError(str(error)) from None


def secret_set(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Change a secret when the run ends well; new content makes a new revision."""
    arguments = _parse(argv)
    identity = _identity(arguments)
    draft = _draft(arguments, arguments.rest[1:], stdin)
    if identity in context.writes.created:
        _merge(context.writes.created[identity], draft)
        return ""
    _managed(context, identity)
    _merge(context.writes.changed.setdefault(identity, SecretDraft()), draft)
    return ""


def _draft(arguments: Arguments, items: tuple[str, ...], stdin: str) -> SecretDraft:
    expire, rotation = arguments.get("expire"), arguments.get("rotate")
    expires = moment(expire) if expire else None
    if rotation and rotation not in (*secrets.ROTATION, "never"):
        raise UsageError(f'rotate policy "{rotation}" not valid')
    kind = arguments.get("owner", "application")
    if kind not in ("application", "unit"):
        raise UsageError(f'secret owner "{kind}" not valid')
    raw = _values(items)
    # What a file holds counts more than arguments, other than with relation-set.
    raw.update(settings(stdin, "secret") if arguments.get("file") else {})
    content: dict[str, str] = {}
    if raw:
        try:
            content = secrets.decoded(raw)
            secrets.check_content(content)
        except secrets.SecretError as error:
            raise UsageError(str(error)) from None
    return SecretDraft(
        content=content or None,
        # Juju takes an empty text for one that was not given.
        label=arguments.get("label") or None,
        description=arguments.get("description") or None,
        rotation=rotation or None,
        expires=expires,
    )


def _values(items: tuple[str, ...]) -> dict[str, str]:
    """Keys with their values; the last one of a key counts, and no value is quoted."""
    found: dict[str, str] = {}
    for item in items:
        key, mark, value = item.partition("=")
        if not mark or not key:
            raise UsageError(f'key value "{key}" not valid' if not mark else "key value not valid")
        found[key] = value
    return found


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
    identity = _parsed(arguments.rest[0]) if arguments.rest else ""
    if not identity and not label:
        raise UsageError("require either a secret URI or label")
    if refresh and peek:
        raise UsageError("specify one of --peek or --refresh but not both")
    arguments.at_most(2)
    key = arguments.rest[1] if len(arguments.rest) > 1 else ""
    new_label = label if identity else ""
    identity = identity or _by_label(context, label)
    content = _content(context, identity, new_label, refresh=refresh, peek=peek)
    form = arguments.get("format") or "yaml"
    if not key:
        return render(_shown(content, form), form)
    name, encoded, _ = key.partition("#base64")
    if name not in content:
        raise CommandError(f'secret key value "{name}" not found')
    value = content[name]
    if encoded:
        return render(base64.b64encode(text.to_bytes(value)).decode(), form)
    return render(_shown({name: value}, form)[name], form)


def _shown(content: Mapping[str, str], form: str) -> dict[str, str | bytes]:
    """A content with what is no text: as bytes, which YAML has words for, or marked in JSON."""
    if form == "json":
        return {key: text.valid(value) for key, value in content.items()}
    return {
        key: value if text.is_valid(value) else text.to_bytes(value)
        for key, value in content.items()
    }


def _by_label(context: Context, label: str) -> str:
    for drafts in (context.writes.created, context.writes.changed):
        for identity, draft in drafts.items():
            if draft.label == label:
                return identity
    found = secret_readers.labelled(context.state, context.reader, label)
    if found is None:
        raise CommandError(f'secret "{label}" not found')
    return found.id


def _content(
    context: Context, identity: str, label: str, *, refresh: bool, peek: bool
) -> dict[str, str]:
    created = context.writes.created.get(identity)
    if refresh and identity in context.writes.changed:
        # Only what is changed already is taken along: who refreshes first follows what was there.
        context.writes.refreshed.add(identity)
    if created:
        return dict(created.content or {})
    secret = secret_readers.reach(context.state, context.reader, identity)
    if secret is None or (identity, None) in context.writes.removed:
        raise CommandError(f'secret "{identity}" not found')
    if not secret_readers.readable(context.state, secret, context.reader):
        raise CommandError("permission denied")
    changed = context.writes.changed.get(identity)
    if changed and changed.content and (refresh or peek):
        return dict(changed.content)
    if label and context.manages(secret):
        # An owner's label is the secret's own.
        with context.state.transaction():
            secrets.change(context.state, context.vault, secret, label=label)
        label = ""
    revision = secret_readers.tracked(context.state, secret, context.reader)
    if peek:
        revision = secret.latest
    elif refresh or not revision or label:
        revision = secret.latest if refresh or not revision else revision
        with context.state.transaction():
            secret_readers.track(context.state, secret, context.reader, revision, label)
    return secrets.read(context.state, context.vault, secret, revision)


def secret_info_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """What an owner may know of a secret, without its content."""
    arguments = parse(argv, {"label": "label", "format": "format"})
    label = arguments.get("label")
    text = arguments.rest[0] if arguments.rest else ""
    identity = _parsed(text) if text else ""
    if not text and not label:
        raise UsageError("require either a secret URI or label")
    if text and label:
        raise UsageError("specify either a secret URI or label but not both")
    arguments.at_most(1)
    identity = identity or _by_label(context, label)
    draft = context.writes.created.get(identity)
    if draft:
        info = _info(1, draft.owner_kind, draft.label, draft.description, draft.rotation)
        if draft.expires is not None:
            info["expiry"] = secrets.stamp(draft.expires)
        return render({identity: info}, arguments.get("format") or "yaml")
    secret = secrets.find(context.state, context.model.uuid, identity)
    gone = (identity, None) in context.writes.removed
    if secret is None or gone or not context.manages(secret):
        raise CommandError(f'secret "{identity if text else label}" not found')
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
        for subject, relation in secret_readers.grants(context.state, secret)
    ]
    if access:
        info["access"] = access
    return render({identity: info}, arguments.get("format") or "yaml")


def _info(
    revision: int, owner: str, label: str | None, description: str | None, rotation: str | None
) -> dict[str, Any]:
    info: dict[str, Any] = {"revision": revision, "label": label or "", "owner": owner}
    if description:
        info["description"] = description
    return {**info, "rotation": rotation or "never"}


def secret_ids(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The secrets that the unit manages."""
    arguments = parse(argv, {"format": "format"})
    arguments.at_most(0)
    found = secrets.owned(context.state, context.model.uuid, context.unit, leader=context.leader())
    ids = [secret.id for secret in found if (secret.id, None) not in context.writes.removed]
    return render(sorted([*ids, *context.writes.created]), arguments.get("format"))


_RELATED = {"r": "relation", "relation": "relation", "unit": "unit"}


def secret_grant(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Let the application or one unit at the other side of a relation read a secret."""
    arguments = parse(argv, _RELATED)
    identity, unit = _identity(arguments), arguments.get("unit")
    relation = context.relation(arguments.get("relation"))
    remote = relation.other(context.application_name).application
    _check_subject("", unit)
    if unit and unit.partition("/")[0] != remote:
        raise UsageError(f'cannot specify unit "{unit}" in relation to application "{remote}"')
    arguments.at_most(1)
    if identity not in context.writes.created:
        _managed(context, identity)
    for subject in _granted(context, identity, relation.id):
        if subject in (unit or remote, remote):
            return ""  # The application's grant is one for each of its units.
        if not unit:
            raise CommandError(
                "any unit level grants need to be revoked before granting access to the "
                "corresponding application"
            )
    context.writes.grants.append((True, identity, relation.id, unit or remote))
    return ""


def _granted(context: Context, identity: str, relation: int) -> set[str]:
    """Who has been granted a secret over a relation, by this run's end."""
    secret = secrets.find(context.state, context.model.uuid, identity)
    known = secret_readers.grants(context.state, secret) if secret else []
    found = {subject for subject, over in known if over == relation}
    for given, name, over, subject in context.writes.grants:
        if name == identity and not given:
            found.discard(subject)
        elif name == identity and over == relation:
            found.add(subject)
    return found


def secret_revoke(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Take back what an application or unit was granted, over whatever relation."""
    arguments = parse(argv, {**_RELATED, "app": "app", "application": "app"})
    identity, unit, application = _identity(arguments), arguments.get("unit"), arguments.get("app")
    _check_subject(application, unit)
    if application and unit:
        raise UsageError("specify only one of application or unit")
    if arguments.get("relation") or (context.hook and context.hook.relation >= 0):
        relation = context.relation(arguments.get("relation"))
        if application:
            raise UsageError("do not specify both relation and app")
        application = relation.other(context.application_name).application
    if not application and not unit:
        raise UsageError("missing relation or application or unit")
    arguments.at_most(1)
    if identity not in context.writes.created:
        _managed(context, identity)
    context.writes.grants.append((False, identity, None, unit or application))
    return ""


def _check_subject(application: str, unit: str) -> None:
    if application and not is_application(application):
        raise UsageError(f'application "{application}" not valid')
    if unit and not is_unit(unit):
        raise UsageError(f'unit "{unit}" not valid')


def secret_remove(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Remove a secret, or one revision of it, when the run ends well."""
    arguments = parse(argv, {"revision": "revision"})
    identity, revision = _identity(arguments), arguments.get("revision", "0")
    if not revision.isdecimal() or len(revision) > 9:
        raise UsageError(f'invalid value "{revision}" for option --revision')
    arguments.at_most(1)
    writes = context.writes
    if identity in writes.created:
        # It was never there; to remove it once more is no mistake.
        del writes.created[identity]
        writes.dropped.add(identity)
        writes.grants = [one for one in writes.grants if one[1] != identity]
    elif identity not in writes.dropped:
        _managed(context, identity)
        if not int(revision):
            writes.changed.pop(identity, None)
        writes.removed.append((identity, int(revision) or None))
    return ""
