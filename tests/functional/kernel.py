"""Which of the kernel's settings reach beyond the namespaces that they are written in."""

# They belong to the IPC or the user namespace of whoever writes: in a container's own namespaces
# they change nothing outside.
OWN = (
    "/proc/sys/fs/mqueue/",
    "/proc/sys/user/",
    *(f"/proc/sys/kernel/{name}" for name in ("auto_msgmni", "msg", "sem", "shm")),
)


def reaches_outside(path: str) -> bool:
    """Whether to write to this file would change anything outside of the container."""
    return not path.startswith(OWN)
