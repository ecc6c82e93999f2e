"""The numbers of protobuf fields that tinykube knows are those of Kubernetes' own types."""

from tests.kubernetes import wire_fields


def test_the_table_is_what_the_types_say():
    assert wire_fields.TABLE.read_text() == wire_fields.text()
