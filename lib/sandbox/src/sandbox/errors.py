"""The errors of this package: each carries what was asked, what was found and the remedy."""


class SandboxError(Exception):
    """A container cannot be started or controlled; the message carries the evidence."""


class NoSpaceError(SandboxError):
    """The disk has no room for a container; nothing of it has run, and it may be tried again."""


class ImageError(Exception):
    """A process image cannot be built or read; the message carries the builder's last lines."""
