import pytest

from tinykube.crd import formats


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date-time", "2014-12-15T19:30:20.000Z", "2014-12-15 19:30"),
        ("date", "2014-12-15", "2014-13-15"),
        ("duration", "1h30m", "1 hug"),
        ("duration", "22 ns", ""),
        ("ipv4", "10.0.0.1", "10.0.0"),
        ("ipv6", "::1", "1.1.1.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("mac", "01:23:45:67:89:ab", "01:23"),
        ("uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b810"),
        ("uuid4", "f47ac10b-58cc-4372-a567-0e02b2c3d479", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ("uri", "https://example.com/x", "::no"),
        ("email", "a@example.com", "a"),
        ("hostname", "a.example.com", "-a"),
        ("byte", "aGk=", "?"),
        ("hexcolor", "#a0F", "#ab"),
        ("rgbcolor", "rgb(1,2,255)", "rgb(1,2,256)"),
        ("isbn10", "0321751043", "0321751044"),
        ("isbn13", "978-0321751041", "978-0321751042"),
        ("isbn", "0321751043", "12"),
        ("creditcard", "4111 1111 1111 1111", "4111"),
        ("ssn", "111-22-3333", "1"),
        ("bsonobjectid", "507f1f77bcf86cd799439011", "507f"),
        ("k8s-short-name", "a-b", "A"),
        ("k8s-long-name", "a.b", "a..b"),
    ],
)
def test_formats(name, good, bad):
    assert formats.matches(name, good)
    assert not formats.matches(name, bad)


def test_a_format_that_nobody_knows_takes_all():
    assert formats.matches("no-such-format", "x")
    assert formats.matches("password", "x")
