"""Acting as somebody else: the `Impersonate-*` headers, for those whose roles let them.

The contract is https://kubernetes.io/docs/reference/access-authn-authz/authentication/: the user,
each group, the uid and each extra value need the verb `impersonate` on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import unquote

from tinykube import status
from tinykube.kinds.reviews import AUTHENTICATION
from tinykube.rbac import AUTHENTICATED, Attributes, Authorizer, Caller, account_caller

_USER, _GROUP, _UID = "impersonate-user", "impersonate-group", "impersonate-uid"
_EXTRA = "impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"
_ANONYMOUS = "system:anonymous"
_VERB = "impersonate"

Headers = Sequence[tuple[bytes, bytes]]


def assume(caller: Caller, headers: Headers, authorizer: Authorizer) -> Caller:
    """Whom a request acts as: its caller, or the one that it names and may impersonate.

    Raises:
        ApiError: 400 for headers that name no user, 403.
    """
    wanted = _wanted(headers)
    if wanted is None:
        return caller
    for asked in _needed(wanted):
        if not authorizer.allowed(caller, asked):
            plural = asked.resource.partition("/")[0]
            raise status.forbidden(plural, asked.group, asked.name, asked.denial(caller))
    return _complete(wanted)


def _wanted(headers: Headers) -> Caller | None:
    user = uid = ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}
    for name, value in headers:
        if not name.startswith(b"impersonate-"):
            continue
        header, text = name.decode("latin-1"), value.decode("utf-8", "replace")
        if header == _USER:
            user = text
        elif header == _UID:
            uid = text
        elif header == _GROUP:
            groups.append(text)
        elif header.startswith(_EXTRA):
            extra.setdefault(unquote(header.removeprefix(_EXTRA)), []).append(text)
    if not user:
        if groups or uid or extra:
            raise status.bad_request(
                "requested groups, a uid or extra values without impersonating a user name"
            )
        return None
    return Caller(
        user, tuple(groups), uid, tuple((key, tuple(values)) for key, values in extra.items())
    )


def _needed(wanted: Caller) -> Iterator[Attributes]:
    account = _account(wanted.name)
    if account is None:
        yield Attributes(_VERB, "", "users", "", wanted.name)
    else:
        yield Attributes(_VERB, "", "serviceaccounts", *account)
    for group in wanted.groups:
        yield Attributes(_VERB, "", "groups", "", group)
    if wanted.uid:
        yield Attributes(_VERB, AUTHENTICATION, "uids", "", wanted.uid)
    for key, values in wanted.extra:
        for value in values:
            yield Attributes(_VERB, AUTHENTICATION, f"userextras/{key}", "", value)


def _account(name: str) -> tuple[str, str] | None:
    """Namespace and name of a service account; None for another user."""
    namespace, separator, account = name.removeprefix(_ACCOUNT).partition(":")
    if not name.startswith(_ACCOUNT) or not (separator and namespace and account):
        return None
    return namespace, account


def _complete(wanted: Caller) -> Caller:
    """The groups that everyone of the kind is in are added."""
    account = _account(wanted.name)
    groups = wanted.groups
    if account is not None and not groups:
        groups = account_caller(*account, "").groups
    if wanted.name == _ANONYMOUS:
        if "system:unauthenticated" not in groups:
            groups = (*groups, "system:unauthenticated")
    elif AUTHENTICATED not in groups:
        groups = (*groups, AUTHENTICATED)
    return Caller(wanted.name, groups, wanted.uid, wanted.extra)
