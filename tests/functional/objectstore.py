"""A real object store for tests: SeaweedFS, with keys, speaking S3 over HTTP and over HTTPS."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ..kubernetes.cluster.certificates import Authority
from ..ports import free_ports

PATIENCE = 120.0


# Clients of this process, those of `toolkit_objects` too, share what botocore reads to make one: a
# quarter of a second each.
botocore.session.create_loader = functools.cache(botocore.loaders.create_loader)


class StoreServer:
    """One server with its data in one folder.

    Attributes:
        url: where it serves HTTP; `secure_url` where it serves HTTPS.
        authority: the file of the authority that it is trusted by there.
        keys: credentials that may do everything.
        reader: credentials that may read and list alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = {"access-key": "toolkit-test", "secret-key": "secret-of-the-store-1"}
        self.reader = {"access-key": "toolkit-reader", "secret-key": "secret-of-the-store-2"}
        names = ("master", "volume", "filer", "s3")
        ports = iter(free_ports(2 * len(names) + 1))
        self._ports = {name: (next(ports), next(ports)) for name in names}
        self._secure = next(ports)
        self.url = f"http://127.0.0.1:{self.port}"
        self.secure_url = f"https://127.0.0.1:{self._secure}"
        authority = Authority(folder / "authority")
        self.authority = authority.certificate
        self._pair = authority.issue("store", "store", hosts=("127.0.0.1",))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The port of HTTP."""
        return self._ports["s3"][0]

    def start(self) -> None:
        """Start it, and wait until it stores."""
        config = self.folder / "identities.json"
        everything = ["Admin", "Read", "Write", "List", "Tagging"]
        identities = [
            _identity("everything", self.keys, everything),
            _identity("reader", self.reader, ["Read", "List"]),
        ]
        config.write_text(json.dumps({"identities": identities}))
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        program = shutil.which("weed", path=sysconfig.get_path("scripts")) or "weed"
        words = [program, f"-logdir={self.folder}", "server", f"-dir={data}", "-filer", "-s3"]
        words += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={config}", "-s3.iam=false"]
        words += ["-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.port.https={self._secure}"]
        words += [f"-s3.cert.file={self._pair.certificate}", f"-s3.key.file={self._pair.key}"]
        words += ["-volume.max=0", "-volume.minFreeSpace=1", "-master.volumeSizeLimitMB=64"]
        words += ["-master.telemetry=false", "-s3.autoCreateBucket=false"]
        for name in ("filer", "s3"):
            # Beside the data, and not in a folder for all.
            words.append(f"-{name}.localSocket={self.folder}/{name}.sock")
        for name, (plain, grpc) in self._ports.items():
            words += [f"-{name}.port={plain}", f"-{name}.port.grpc={grpc}"]
        with (self.folder / "server.log").open("ab") as output:
            self._process = subprocess.Popen(
                words, stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd=self.folder
            )
        deadline = time.monotonic() + PATIENCE
        while not self._stores():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.2)

    def _stores(self) -> bool:
        with contextlib.suppress(BotoCoreError, ClientError):
            client = self.client(attempts=1)
            # It makes buckets a while before it stores, and keeps them over its end.
            if "started" not in [each["Name"] for each in client.list_buckets()["Buckets"]]:
                client.create_bucket(Bucket="started")
            client.put_object(Bucket="started", Key="x", Body=b"x")
            return True
        return False

    def stop(self) -> None:
        """End it at once, as its own way takes half a minute; what it has stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        """What it said last."""
        return (self.folder / "server.log").read_text(errors="replace")[-3000:]

    def client(self, attempts: int = 3) -> Any:
        """A client that may do everything."""
        return botocore.session.Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id=self.keys["access-key"],
            aws_secret_access_key=self.keys["secret-key"],
            config=Config(
                connect_timeout=5,
                retries={"mode": "standard", "total_max_attempts": attempts},
                s3={"addressing_style": "path"},
            ),
        )

    def bucket(self, name: str) -> str:
        """Make a bucket."""
        self.client().create_bucket(Bucket=name)
        return name

    def contents(self, bucket: str) -> dict[str, int]:
        """The sizes of what is in a bucket, by key."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {each["Key"]: each["Size"] for page in pages for each in page.get("Contents", [])}

    def uploads(self, bucket: str) -> list[str]:
        """The keys of what is coming in parts."""
        found = self.client().list_multipart_uploads(Bucket=bucket)
        return [each["Key"] for each in found.get("Uploads", [])]


def _identity(name: str, keys: dict[str, str], actions: list[str]) -> dict[str, Any]:
    credentials = {"accessKey": keys["access-key"], "secretKey": keys["secret-key"]}
    return {"name": name, "credentials": [credentials], "actions": actions}
