from __future__ import annotations

import pytest

from toolkit_objects import Location, LocationError


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("s3://bucket", Location("bucket")),
        ("s3://bucket/", Location("bucket")),
        (
            "s3://my.bucket-1/a/b?region=eu-west-1",
            Location("my.bucket-1", "a/b", region="eu-west-1"),
        ),
        (
            "s3://bucket/a?endpoint=https://minio.example.com:9000&region=x",
            Location("bucket", "a", "https://minio.example.com:9000", "x", path_style=True),
        ),
        # As in KFP's own configuration.
        (
            "s3://bucket/a?endpoint=minio.kubeflow:9000&disableSSL=true&s3ForcePathStyle=true",
            Location("bucket", "a", "http://minio.kubeflow:9000", path_style=True),
        ),
        (
            "s3://bucket?endpoint=s3.example.com&s3ForcePathStyle=false",
            Location("bucket", "", "https://s3.example.com"),
        ),
        ("s3://bucket?use_path_style=true", Location("bucket", path_style=True)),
        (
            "s3://bucket?endpoint=http://[::1]:9",
            Location("bucket", "", "http://[::1]:9", path_style=True),
        ),
    ],
)
def test_what_kfp_writes_is_read(text: str, location: Location) -> None:
    assert Location.parse(text) == location


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "write s3://"),
        ("bucket/a", "write s3://"),
        ("gs://bucket", "write s3://"),
        ("s3://bucket#x", "write s3://"),
        ("s3://bucket/a\n", "write s3://"),
        ("s3://", "no name of a bucket"),
        ("s3://B", "no name of a bucket"),
        ("s3://bucket:80", "no name of a bucket"),
        ("s3://key:secret@bucket", "credentials do not belong"),
        ("s3://bucket/a/../b", "prefix"),
        ("s3://bucket/a//b", "prefix"),
        ("s3://bucket/a b", "prefix"),
        ("s3://bucket?profile=x", "unknown parameter 'profile'"),
        ("s3://bucket?region", "no URI"),
        ("s3://bucket?region=a/b", "no name of a region"),
        ("s3://bucket?disableSSL=yes", "disableSSL must be true or false"),
        ("s3://bucket?endpoint=ftp://x", "endpoint must be"),
        ("s3://bucket?endpoint=http://x/y", "endpoint must be"),
        ("s3://bucket?endpoint=http://u:p@x", "endpoint must be"),
        ("s3://bucket?endpoint=http://x:port", "no address"),
        ("s3://bucket?endpoint=http://", "endpoint must be"),
    ],
)
def test_what_is_no_location_is_refused(text: str, message: str) -> None:
    with pytest.raises(LocationError, match=message) as raised:
        Location.parse(text)
    assert "secret" not in str(raised.value)


def test_keys_and_uris_begin_with_the_prefix() -> None:
    assert Location("bucket").uri == "s3://bucket"
    assert Location("bucket").key("x/y") == "x/y"
    assert Location("bucket", "a/b").uri == "s3://bucket/a/b"
    assert Location("bucket", "a/b").key("x/y") == "a/b/x/y"
