"""One run of the command line: where it prints, which model it works in, its controller."""

from __future__ import annotations

import json
import os
import re
import select
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from minijuju.client import Client, data_folder

from .output import visible
from .verb import CommandError

if TYPE_CHECKING:
    from minijuju.charm_store import CharmStore

CONTROLLER = "minijuju"
USER = "admin"
CLOUD = "localhost"
STOP_TIMEOUT = 60

NO_MODEL = """No model in focus.

Please use "{program} models" to see models available to you.
You can set current model by running "{program} switch"
or specify any other model on the command line using the "-m" option."""


@dataclass
class Session:
    """What every verb is given."""

    program: str
    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)
    colour: bool = False
    noisy: bool = False
    quiet: bool = False
    _client: Client | None = None

    @property
    def data(self) -> Path:
        """The data folder."""
        return data_folder()

    @property
    def client(self) -> Client:
        """The controller, started if it is not running."""
        if self._client is None:
            self._client = Client(self.data)
        return self._client

    def running(self) -> bool:
        """Whether the controller runs; does not start it."""
        return Client(self.data).running()

    def known(self, name: str) -> bool:
        """Whether there is a model of that name."""
        return any(model.get("short-name") == name for model in self.call("models")["models"])

    def call(self, method: str, **params: Any) -> Any:
        """Ask the controller; what it reports meanwhile goes to stderr."""
        began = time.monotonic()
        try:
            return self.client.call(method, on_progress=self.say, **params)
        finally:
            self._note(method, began)

    def stop(self) -> None:
        """End the controller and what it runs, and wait until the process is gone.

        Raises:
            CommandError: It did not end in time.
        """
        pid = int(self.call("shutdown")["pid"])
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            ended, _, _ = select.select([handle], [], [], STOP_TIMEOUT)
        finally:
            os.close(handle)
        if not ended:
            raise CommandError(f"the controller (process {pid}) did not end in {STOP_TIMEOUT} s")

    def stream(self, method: str, **params: Any) -> Iterator[Any]:
        """Ask the controller for items, one after the other."""
        self._note(method)
        return self.client.stream(method, **params)

    def _note(self, method: str, began: float | None = None) -> None:
        if self.noisy:
            took = "" if began is None else f" took {(time.monotonic() - began) * 1000:.0f} ms"
            print(f"DEBUG minijuju.client {method}{took}", file=self.stderr, flush=True)

    def say(self, text: str) -> None:
        """Tell the user something that is not the result; of what is quiet, warnings alone."""
        if not self.quiet or text.startswith("WARNING"):
            print(visible(text), file=self.stderr, flush=True)

    def charm_store(self, wanted: str | None = None) -> CharmStore | None:
        """The charm store: `--charm-store`, `MINIJUJU_CHARM_STORE`, or the configured one."""
        from minijuju import documents
        from minijuju.charm_store import CharmStore

        chosen = wanted or os.environ.get("MINIJUJU_CHARM_STORE")
        if not chosen:
            try:
                configured = documents.read(self.data / "config.yaml")
            except documents.DocumentError as error:
                if (self.data / "config.yaml").exists():
                    raise CommandError(str(error)) from None
                return None
            chosen = configured.get("charm-store") if isinstance(configured, dict) else None
        return CharmStore(Path(chosen).absolute()) if chosen else None

    # Models.

    def model(self, wanted: str | None = None) -> str:
        """The name of the model to work in: `-m`, `JUJU_MODEL`, or the current one.

        Raises:
            CommandError: There is none, or it belongs to a controller or user that is not here.
        """
        reference = wanted or os.environ.get("JUJU_MODEL") or self.current_model()
        if not reference:
            raise CommandError(NO_MODEL.format(program=self.program))
        return self.short_name(reference)

    def short_name(self, reference: str) -> str:
        """The name in `[controller:][user/]name`.

        Raises:
            CommandError: The controller or the user is another one.
        """
        match = re.fullmatch(r"(?:([^:/]+):)?(?:([^:/]+)/)?([^:/]*)", reference)
        if not match:
            raise CommandError(f'"{reference}" is not a valid model name')
        controller, user, name = match.groups()
        if controller not in (None, CONTROLLER):
            raise CommandError(f"controller {controller} not found")
        if user not in (None, USER) or not name:
            raise CommandError(f"model {CONTROLLER}:{user or USER}/{name} not found")
        return str(name)

    def current_model(self) -> str | None:
        """The model that `switch` chose."""
        try:
            text = self._models_file().read_text()
        except FileNotFoundError:
            return None
        try:
            found = json.loads(text)
        except ValueError:
            raise CommandError(
                f"{self._models_file()} is damaged; choose a model again: "
                f"{self.program} switch MODEL"
            ) from None
        name = found.get("current") if isinstance(found, dict) else None
        return name if isinstance(name, str) else None

    def set_current_model(self, name: str | None) -> None:
        """Remember which model the next commands mean."""
        file = self._models_file()
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        temporary.write_text(json.dumps({"current": name}))
        temporary.replace(file)

    def _models_file(self) -> Path:
        return self.data / "client.json"
