"""The hook commands as the charm sees them: small executables that speak to the controller.

A charm makes a handful of calls in every hook, so a call must be cheap: the script runs on an
isolated interpreter and imports nothing but two built-in modules. It answers to every name in
`NAMES` by symbolic links.

The wire format, both ways, is a number of fields and then each field, where numbers and the
lengths of fields are 4 bytes, big-endian. Request: context id, standard input, then the argument
list beginning with the command's name. Reply: exit code in decimal, standard output, standard
error.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HOOKS_FOLDER = "/var/lib/juju/hooks"
"""Where the folder made by `install` is mounted in the charm container."""

SOCKET_NAME = "socket"
TOOLS_NAME = "tools"
MAX_FIELD = 8 * 1024 * 1024
MAX_FIELDS = 4096

NAMES = (
    "action-fail",
    "action-get",
    "action-log",
    "action-set",
    "application-version-set",
    "close-port",
    "config-get",
    "credential-get",
    "goal-state",
    "is-leader",
    "juju-log",
    "juju-reboot",
    "network-get",
    "open-port",
    "opened-ports",
    "relation-get",
    "relation-ids",
    "relation-list",
    "relation-model-get",
    "relation-set",
    "resource-get",
    "secret-add",
    "secret-get",
    "secret-grant",
    "secret-ids",
    "secret-info-get",
    "secret-remove",
    "secret-revoke",
    "secret-set",
    "state-delete",
    "state-get",
    "state-set",
    "status-get",
    "status-set",
    "storage-add",
    "storage-get",
    "storage-list",
    "unit-get",
)

SCRIPT = '''\
"""Passes one hook command to the controller; minijuju.hooks.tools says how."""
import sys
import posix
import _socket

def main():
    name = sys.argv[0].rpartition("/")[2]
    arguments = sys.argv[1:]
    env = posix.environ
    address = env.get(b"JUJU_AGENT_SOCKET_ADDRESS")
    context = env.get(b"JUJU_CONTEXT_ID")
    if not address or not context:
        fail("ERROR " + name + " works only inside a hook: JUJU_CONTEXT_ID is not set")
    stdin = b""
    for index, argument in enumerate(arguments):
        if argument == "--":
            break
        key, mark, path = argument.partition("#file=")
        if name in ("secret-add", "secret-set") and mark and "=" not in key:
            arguments[index] = key + "=" + read(path).decode("utf-8", "surrogateescape")
        elif argument == "--file" and index + 1 < len(arguments):
            stdin = read(arguments[index + 1])
        elif argument.startswith("--file="):
            stdin = read(argument[7:])
    fields = [context, stdin, name.encode()]
    for argument in arguments:
        fields.append(argument.encode("utf-8", "surrogateescape"))
    data = len(fields).to_bytes(4, "big")
    data += b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.connect(address)
        connection.sendall(data)
    except OSError as error:
        fail("ERROR cannot reach the controller: " + str(error))
    count = int.from_bytes(receive(connection, 4), "big")
    reply = [receive(connection, int.from_bytes(receive(connection, 4), "big"))
             for _ in range(count)]
    write(1, reply[1])
    write(2, reply[2])
    posix._exit(int(reply[0]))

def read(path):
    if path == "-":
        source = 0
    else:
        try:
            source = posix.open(path, posix.O_RDONLY)
        except OSError as error:
            fail("ERROR cannot read " + path + ": " + str(error))
    chunks = []
    while True:
        chunk = posix.read(source, 65536)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)

def receive(connection, size):
    chunks = []
    while size:
        try:
            chunk = connection.recv(min(size, 65536))
        except OSError:
            chunk = b""
        if not chunk:
            fail("ERROR the controller went away")
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)

def write(target, data):
    while data:
        data = data[posix.write(target, data):]

def fail(message):
    write(2, (message + "\\n").encode("utf-8", "replace"))
    posix._exit(1)

main()
'''


def interpreter() -> str:
    """The interpreter that the commands run on: ours, without any virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def install(folder: Path) -> None:
    """Put the commands into `folder` / tools, unless just these are there already."""
    tools = folder / TOOLS_NAME
    tools.mkdir(mode=0o700, parents=True, exist_ok=True)
    script = folder / "hook-command"
    text = f"#!{interpreter()} -ISE\n{SCRIPT}"
    if not script.is_file() or script.read_text() != text:
        new = folder / "hook-command.new"
        new.write_text(text)
        new.chmod(0o755)
        new.replace(script)
    for name in NAMES:
        link = tools / name
        if not link.is_symlink():
            link.symlink_to("../hook-command")
