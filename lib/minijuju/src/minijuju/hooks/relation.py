"""relation-ids, relation-list, relation-get, relation-set, relation-model-get."""

from __future__ import annotations

from collections.abc import Sequence

from minijuju.hooks.context import CommandError, Context
from minijuju.hooks.output import pairs, render, settings
from minijuju.hooks.parser import parse
from minijuju.relations import check_write, endpoint_of

_RELATION = {"r": "relation", "relation": "relation", "format": "format"}


def relation_ids(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The relations of an endpoint."""
    arguments = parse(argv, {"format": "format"})
    if arguments.rest:
        name = arguments.one("an endpoint name")
    elif context.hook and context.hook.endpoint:
        name = context.hook.endpoint
    else:
        raise CommandError("no endpoint name specified")
    found = [
        endpoint_of(relation, context.application_name)
        for relation in context.known_relations()
        if relation.end(context.application_name).endpoint == name
    ]
    return render(found, arguments.get("format"))


def relation_list(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The remote units, or the remote application."""
    arguments = parse(argv, _RELATION, ("app",))
    relation = context.relation(arguments.get("relation"))
    if arguments.on("app"):
        name = relation.other(context.application_name).application
        return render(name, arguments.get("format"))
    return render(context.members(relation), arguments.get("format"))


def relation_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """A databag, or one value of it."""
    arguments = parse(argv, _RELATION, ("app",))
    if len(arguments.rest) > 2:
        raise CommandError(f"unrecognized args: {list(arguments.rest[2:])}")
    relation = context.relation(arguments.get("relation"))
    key = arguments.rest[0] if arguments.rest else "-"
    entity = arguments.rest[1] if len(arguments.rest) > 1 else ""
    if not entity and context.hook and context.hook.relation == relation.id:
        entity = context.hook.remote_unit
        if arguments.on("app") or not entity:
            entity = context.hook.remote_app
    if arguments.on("app"):
        entity = entity.partition("/")[0]
    if not entity:
        raise CommandError("no unit id specified")
    bag = context.bag(relation, entity)
    return render(bag if key in ("-", "") else bag.get(key), arguments.get("format"))


def relation_set(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Write the own databag, or as leader the application's."""
    arguments = parse(argv, {**_RELATION, "file": "file"}, ("app",))
    relation = context.relation(arguments.get("relation"))
    application = arguments.on("app")
    check_write(leader=context.leader(), application=application)
    changes = settings(stdin, "relation-set") if arguments.get("file") else {}
    changes.update(pairs(arguments.rest, "relation-set"))
    entity = context.application_name if application else context.unit
    context.writes.bags.setdefault((relation.id, entity), {}).update(changes)
    return ""


def relation_model_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The model at the other side: always this one, as relations across models are not built."""
    arguments = parse(argv, _RELATION)
    context.relation(arguments.get("relation"))
    return render({"uuid": context.model.uuid}, arguments.get("format"))
