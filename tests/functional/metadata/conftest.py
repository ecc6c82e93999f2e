"""A real server of the image, in the image's own environment, and a real client's."""

import http.client
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from sandbox.images import ImageStore

from ...ports import free_ports
from .. import web

ROOT = Path(__file__).parents[3]
TOKEN = "metadata-test-token-000"
OTHER = "metadata-test-token-111"
PATIENCE = 120.0


@pytest.fixture(scope="session")
def image():
    """The metadata image, built once for this machine."""
    return ImageStore().build(ROOT / "images" / "metadata")


@pytest.fixture(scope="session")
def python(image):
    """The image's interpreter."""
    return image.path / "bin" / "python"


@pytest.fixture(scope="session")
def client_python():
    """The interpreter of a user who has MLflow's client."""
    return ImageStore().build(Path(__file__).parent / "client").path / "bin" / "python"


def run_client(client_python, folder, url, token, code):
    """Run a program of a user who has MLflow's client; only MLflow's own variables are set."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "MLFLOW_TRACKING_URI": url,
        "MLFLOW_TRACKING_TOKEN": token,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    }
    return subprocess.run(
        [str(client_python), "-W", "ignore", "-c", code],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def write_tokens(path, *secrets):
    lines = "".join(f"t{number}:{secret}\n" for number, secret in enumerate(secrets))
    fresh = path.with_name(f"{path.name}.fresh")
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        file.write(lines)
    fresh.replace(path)


class Answer(NamedTuple):
    status_code: int
    text: str


class Server:
    """One server process and its folder.

    Args:
        python: the image's interpreter.
        folder: of its own; it has the data in `data`.
        ready: data that it begins with; None for nothing.
    """

    def __init__(self, python, folder, ready=None):
        self.python = python
        self.folder = folder
        self.data = folder / "data"
        self.tokens = folder / "tokens"
        self.log = folder / "server.log"
        (self.port,) = free_ports()
        self.process = None
        write_tokens(self.tokens, TOKEN)
        if ready is not None:
            shutil.copytree(ready, self.data)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def command(self, *extra, program=("-m", "toolkit_metadata")):
        return [
            str(self.python),
            *program,
            "--port",
            str(self.port),
            "--data",
            str(self.data),
            "--tokens",
            str(self.tokens),
            *extra,
        ]

    def run(self, *extra, **options):
        """Run a server that is expected to end by itself."""
        return subprocess.run(
            self.command(*extra, **options),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def start(self, *extra):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(*extra), stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                if web.get(f"{self.url}/ready").status_code == 200:
                    return self
            except httpx2.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"the server did not start:\n{self.log.read_text()}")

    def kill(self, number=signal.SIGKILL):
        """End it with its children; give the exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            if number is signal.SIGKILL:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def client(self, **headers):
        return web.client(
            base_url=self.url,
            headers={"authorization": f"Bearer {TOKEN}", **headers},
            timeout=30,
        )

    def raw(self, method, path, content=None):
        """Send a path as it stands; httpx2 would tidy it up first."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path)
            connection.putheader("authorization", f"Bearer {TOKEN}")
            connection.putheader("content-length", str(len(content or b"")))
            connection.endheaders(content)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode("utf-8", "replace"))
        finally:
            connection.close()


@pytest.fixture(scope="session")
def ready(python, tmp_path_factory):
    """The data of a server that has done nothing yet: to make its tables takes a second each."""
    server = Server(python, tmp_path_factory.mktemp("ready"))
    try:
        server.start()
    finally:
        server.kill(signal.SIGTERM)
    return server.data


@pytest.fixture
def make_server(python, ready, tmp_path):
    """Make servers that end with the test."""
    made = []

    def make(name="one", *, new=False):
        """Give one with a database, or one that has yet to make it."""
        folder = tmp_path / name
        folder.mkdir(mode=0o700)
        made.append(Server(python, folder, None if new else ready))
        return made[-1]

    yield make
    for server in made:
        server.kill()


@pytest.fixture(scope="package")
def server(python, ready, tmp_path_factory):
    """One running server for all tests that leave it running, with tokens and data as they were.

    It tells of every request in its log.
    """
    server = Server(python, tmp_path_factory.mktemp("metadata"), ready)
    try:
        yield server.start("--allowed-host", "ml.example.com", "--log-level", "debug")
    finally:
        server.kill()


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client
