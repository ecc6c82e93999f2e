"""Patches: JSON (RFC 6902), merge (RFC 7386) and strategic merge."""

from __future__ import annotations

from typing import Any

from tinykube import objects, schema
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.operations import PatchError, apply
from tinykube.schema import Many, Shape
from tinykube.status import ApiError, Cause, bad_request, invalid

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

# One patch may name a field many times, and a test or copy of a large one costs each time.
_MAX_OPERATIONS = 10_000
_ORDER = "$setElementOrder/"
_DELETE_VALUES = "$deleteFromPrimitiveList/"
# The types that custom resources take, too.
OF_EVERY_KIND = (JSON_PATCH, MERGE_PATCH, APPLY_PATCH)


def untaken() -> ApiError:
    """What a patch of a type that a resource does not take is answered with."""
    message = (
        "the body of the request was in an unknown format - accepted media types include: "
        f"{', '.join(OF_EVERY_KIND)}"
    )
    return ApiError(415, "UnsupportedMediaType", message)


def unreadable(error: ApiError) -> ApiError:
    """The patch itself could be read, but not what it makes of its object."""
    fault = Cause("FieldValueInvalid", f"Invalid value: {error.message}", "patch")
    return invalid("", "", "", [fault])


def patched(resource: Resource, obj: JSON, content_type: str, body: Any) -> Any:
    """An object after a patch of any type but an apply; the object itself is left alone.

    Raises:
        ApiError: 400 for a malformed patch, 415 for a type that the resource does not take, 422
            for one that does not fit the object.
    """
    if content_type == JSON_PATCH:
        return json_patch(obj, body)
    if content_type == MERGE_PATCH:
        return merge_patch(obj, whole(body))
    if content_type != STRATEGIC_PATCH or not resource.strategic:
        raise untaken()
    made = strategic_patch(obj, whole(body), resource.shape)
    # What it is of goes by the path.
    for member in ("apiVersion", "kind"):
        if isinstance(made.get(member), str | None):
            made[member] = obj[member]
    return made


def whole(body: Any) -> JSON:
    """A patch that must be an object. Raises ApiError 400."""
    if not isinstance(body, dict):
        raise bad_request("the patch must be an object")
    return body


def json_patch(obj: JSON, operations: Any) -> Any:
    """The object after a list of operations; the object itself is left alone.

    Raises:
        ApiError: 400 for a malformed patch, 422 for one that does not fit the object.
    """
    if not isinstance(operations, list) or len(operations) > _MAX_OPERATIONS:
        raise bad_request(f"a JSON patch is a list of at most {_MAX_OPERATIONS} operations")
    if not all(isinstance(item, dict) for item in operations):
        raise bad_request("error decoding patch: each operation of a JSON patch is an object")
    try:
        return apply(objects.copy(obj), operations)
    except (PatchError, RecursionError):
        # Kubernetes does not say what is wrong, and the patch's own value may be a secret.
        message = "the server rejected our request due to an error in our request"
        raise ApiError(422, "Invalid", message, detailed=True) from None


def merge_patch(value: Any, patch: Any) -> Any:
    """The value after a merge patch; null removes a field."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for name, item in patch.items():
        if item is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), item)
    return result


def strategic_patch(value: Any, patch: Any, shape: Shape | None) -> Any:
    """The value after a strategic merge patch: lists with a key in `shape` merge item by item.

    Raises:
        ApiError: 400 for a directive that is malformed.
    """
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    directive = patch.get("$patch")
    if directive == "replace":
        return {name: item for name, item in patch.items() if name != "$patch"}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"invalid $patch directive: {str(directive)[:80]}")
    if (kept := patch.get("$retainKeys")) is not None:
        if not isinstance(kept, list):
            raise bad_request("$retainKeys must be a list")
        result = {name: item for name, item in result.items() if name in kept}
    for name, item in patch.items():
        if name in ("$patch", "$retainKeys") or name.startswith(_ORDER):
            continue
        if name.startswith(_DELETE_VALUES):
            _delete_values(result, name.removeprefix(_DELETE_VALUES), item)
        elif item is None:
            result.pop(name, None)
        else:
            result[name] = _merge(result.get(name), item, schema.member(shape, name))
    for name, order in patch.items():
        if name.startswith(_ORDER):
            field = name.removeprefix(_ORDER)
            _order(result, field, order, schema.member(shape, field))
    return result


def _merge(value: Any, patch: Any, shape: Shape | None) -> Any:
    if isinstance(patch, dict):
        return strategic_patch(value, patch, shape)
    if not isinstance(patch, list) or not isinstance(shape, Many) or not shape.key:
        return patch
    current = list(value) if isinstance(value, list) else []
    if shape.key == "*":
        return current + [item for item in patch if item not in current]
    return _merge_list(current, patch, shape)


def _merge_list(current: list[Any], patch: list[Any], shape: Many) -> list[Any]:
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if item.get("$patch") != "replace"]
    for item in patch:
        if not isinstance(item, dict) or shape.key not in item:
            raise bad_request(f"map does not contain declared merge key: {shape.key}")
        place = _find(current, shape.key, item[shape.key])
        if item.get("$patch") == "delete":
            if place is not None:
                del current[place]
        elif place is None:
            current.append(strategic_patch({}, item, shape.item))
        else:
            current[place] = strategic_patch(current[place], item, shape.item)
    return current


def _find(items: list[Any], key: str, value: Any) -> int | None:
    for index, item in enumerate(items):
        if isinstance(item, dict) and item.get(key) == value:
            return index
    return None


def _delete_values(result: JSON, name: str, values: Any) -> None:
    if not isinstance(values, list):
        raise bad_request(f"{_DELETE_VALUES}{name[:80]} must be a list")
    if isinstance(result.get(name), list):
        result[name] = [item for item in result[name] if item not in values]


def _order(result: JSON, name: str, order: Any, shape: Shape | None) -> None:
    """Sort a merged list as the client listed it; what it did not list keeps to the end."""
    items = result.get(name)
    if not isinstance(items, list) or not isinstance(order, list) or not isinstance(shape, Many):
        return
    key = shape.key

    def rank(item: Any) -> int:
        wanted = {key: item.get(key)} if isinstance(item, dict) else item
        return order.index(wanted) if wanted in order else len(order)

    result[name] = sorted(items, key=rank)
