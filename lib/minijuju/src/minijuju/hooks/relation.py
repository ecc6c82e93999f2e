"""relation-ids, relation-list, relation-get, relation-set, relation-model-get."""

from __future__ import annotations

from collections.abc import Sequence

from minijuju import crossings
from minijuju.hooks.context import Context
from minijuju.hooks.output import pairs, render, settings
from minijuju.hooks.parser import Arguments, UsageError, is_application, is_unit, parse
from minijuju.relations import check_write, endpoint_of

_RELATION = {"r": "relation", "relation": "relation", "format": "format"}


def relation_ids(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The relations of an endpoint."""
    arguments = parse(argv, {"format": "format"})
    arguments.at_most(1)
    name = arguments.rest[0] if arguments.rest else context.hook.endpoint if context.hook else ""
    if not name:
        raise UsageError("no endpoint name specified")
    found = [
        endpoint_of(relation, context.application_name)
        for relation in context.known_relations()
        if relation.end(context.application_name).endpoint == name
    ]
    return render(sorted(found), arguments.get("format"))


def relation_list(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The remote units, or the remote application."""
    arguments = parse(argv, _RELATION, ("app",))
    arguments.at_most(0)
    relation = context.relation(arguments.get("relation"))
    if arguments.on("app"):
        name = relation.other(context.application_name).application
        return render(name, arguments.get("format"))
    return render(context.members(relation), arguments.get("format"))


def relation_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """A databag, or one value of it."""
    arguments = parse(argv, _RELATION, ("app",))
    relation = context.relation(arguments.get("relation"))
    key = arguments.rest[0] if arguments.rest else "-"
    entity = _entity(context, arguments)
    arguments.at_most(2)
    bag = context.bag(relation, entity)
    return render(bag if key in ("-", "") else bag.get(key), arguments.get("format"))


def _entity(context: Context, arguments: Arguments) -> str:
    """Whose databag is asked for: the named one's, else that of the hook's remote side."""
    application = arguments.on("app")
    if len(arguments.rest) > 1:
        name = arguments.rest[1]
        if application:
            return name.partition("/")[0]
        if is_application(name):
            raise UsageError(f'expected unit name, got application name "{name}"')
        if not is_unit(name):
            raise UsageError(f'invalid unit name "{name}"')
        return name
    hook = context.hook
    found = (not application and hook.remote_unit) or hook.remote_app if hook else ""
    if not found:
        raise UsageError("no unit or application specified")
    return found


def relation_set(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Write the own databag, or as leader the application's."""
    arguments = parse(argv, {**_RELATION, "file": "file"}, ("app",))
    overrides = pairs(arguments.rest)
    relation = context.relation(arguments.get("relation"))
    application = arguments.on("app")
    changes = settings(stdin, "relation-set") if arguments.get("file") else {}
    check_write(leader=context.leader(), application=application)
    changes.update(overrides)
    entity = context.application_name if application else context.unit
    context.writes.bags.setdefault((relation.id, entity), {}).update(changes)
    return ""


def relation_model_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The model at the other side."""
    arguments = parse(argv, _RELATION)
    arguments.at_most(0)
    relation = context.relation(arguments.get("relation"))
    uuid = crossings.remote_model(context.state, relation.model, relation.id)
    return render({"uuid": uuid}, arguments.get("format"))
