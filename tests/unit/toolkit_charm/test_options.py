"""Options: from charm config to typed values, with errors that name the option."""

from typing import Annotated

import pydantic
import pytest

from toolkit_charm import Options, OptionsError
from toolkit_charm.options import AllowedHosts, LogLevel


class Example(Options):
    log_level: LogLevel
    some_number: Annotated[int, pydantic.Field(ge=1, le=9)]
    allowed_hosts: AllowedHosts


GOOD = {"log-level": "info", "some-number": 3, "allowed-hosts": ""}


def test_options_become_fields():
    options = Example.load(GOOD | {"allowed-hosts": " a.b , *.c:80,[::1]:5 ,"})
    assert (options.log_level, options.some_number) == ("info", 3)
    assert options.allowed_hosts == ("a.b", "*.c:80", "[::1]:5")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"some-number": 0}, "some-number: should be greater than or equal to 1 (found 0)"),
        ({"some-number": "x"}, "some-number: "),
        ({"log-level": "loud"}, "log-level: should be 'debug', 'info', 'warning' or 'error'"),
        ({"allowed-hosts": "a/b"}, "allowed-hosts: 'a/b' is not a host"),
        ({"unknown-option": 1}, "unknown-option: "),
    ],
)
def test_an_error_names_the_option_the_reason_and_what_was_found(wrong, message):
    with pytest.raises(OptionsError) as caught:
        Example.load(GOOD | wrong)
    assert message in str(caught.value)


def test_all_wrong_options_are_named_and_long_values_are_cut():
    with pytest.raises(OptionsError) as caught:
        Example.load({"log-level": "x" * 100_000, "allowed-hosts": "/" * 100_000})
    message = str(caught.value)
    assert all(name in message for name in ("log-level", "some-number", "allowed-hosts"))
    assert len(message) < 1000


@pytest.mark.parametrize(
    "hosts", ["http://a", "a b", "a.*.b", "*a", "-a", "a-", "a:port", "a:123456", "::1", "a\nb,c/"]
)
def test_what_the_server_would_refuse_as_a_host_is_refused_here(hosts):
    with pytest.raises(OptionsError, match="allowed-hosts"):
        Example.load(GOOD | {"allowed-hosts": hosts})


def test_options_are_frozen():
    with pytest.raises(pydantic.ValidationError):
        Example.load(GOOD).some_number = 4
