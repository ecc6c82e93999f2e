import pytest

from minijuju import channels


@pytest.mark.parametrize(
    ("text", "channel"),
    [
        ("stable", channels.Channel("", "stable")),
        ("14", channels.Channel("14", "stable")),
        ("14/edge", channels.Channel("14", "edge")),
        ("edge/fix", channels.Channel("", "edge", "fix")),
        ("14/beta/fix", channels.Channel("14", "beta", "fix")),
    ],
)
def test_channels(text, channel):
    assert channels.parse(text) == channel


@pytest.mark.parametrize("text", ["", "/", "14/", "14/risky", "14/fix/stable", "a/b/c/d", "a b"])
def test_no_channels(text):
    with pytest.raises(channels.ChannelError, match="channel"):
        channels.parse(text)


def test_bases():
    assert channels.parse_base("ubuntu@24.04/stable") == "ubuntu@24.04"
    assert channels.parse_base("Ubuntu@24.04") == "ubuntu@24.04"
    for text in ("ubuntu", "ubuntu@", "plan9@1", "ubuntu@stable", "ubuntu@24.04@x"):
        with pytest.raises(channels.ChannelError):
            channels.parse_base(text)
