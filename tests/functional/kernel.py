"""Which of the kernel's settings reach beyond the namespaces that they are written in."""

# They belong to the IPC, the PID or the user namespace of whoever writes: in a container's own
# namespaces they change nothing outside. (Before Linux 6.14 pid_max is the machine's, and closed.)
OWN = (
    "/proc/sys/fs/mqueue/",
    "/proc/sys/user/",
    *(
        f"/proc/sys/kernel/{name}"
        for name in ("auto_msgmni", "msg", "ns_last_pid", "pid_max", "sem", "shm")
    ),
)


def reaches_outside(path: str) -> bool:
    """Whether to write to this file would change anything outside of the container."""
    return not path.startswith(OWN)
