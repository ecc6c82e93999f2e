"""Bring the bundle up on this machine, and tell what runs where."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import yaml

from toolkit_cli import builds, doctor, elsewhere, shutdown, tokens
from toolkit_cli.errors import ToolkitError
from toolkit_cli.progress import Reporter, task
from toolkit_cli.source import Source
from toolkit_cli.substrate import Juju, Kube

POLL = 0.3
# A refresh or a new option reaches a unit a moment after it was asked for: it must be seen
# active and idle this often in a row.
SETTLED = 3
GONE_WRONG = ("error", "blocked")
PATIENCE = 60.0  # seconds that a unit may be blocked or in error before `up` gives up
PYTHON_IMAGES = ("python:3*", "python", "registry.access.redhat.com/ubi*/python-3*")
COMMAND_LIMIT = 600.0  # seconds that one of minijuju's own commands may take


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a component answers, and the file with its token."""

    application: str
    url: str
    token_file: str


@dataclass(frozen=True, slots=True)
class Application:
    """One row of the summary."""

    name: str
    status: str
    message: str
    units: int
    url: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What runs where.

    Attributes:
        state: `running`, `stopped` (its data is there) or `absent`.
    """

    model: str
    state: str
    applications: tuple[Application, ...] = ()
    hints: tuple[str, ...] = field(default=())

    @property
    def active(self) -> bool:
        """True if everything is there and active."""
        return bool(self.applications) and all(a.status == "active" for a in self.applications)


class Deployment:
    """The bundle in one model of this machine's controller."""

    def __init__(self, source: Source, model: str) -> None:
        self.source = source
        self.model = model
        self.juju = Juju()
        self.kube = Kube()

    # -- up ------------------------------------------------------------------------------------

    def up(
        self,
        report: Reporter,
        *,
        overlays: Sequence[Path],
        timeout: float,
        kubeconfig: Path | None = None,
        address: str = "",
    ) -> None:
        """Build what is missing, deploy or bring up to date, wait until all is active.

        With a kubeconfig the steps of pipelines run in that cluster, which reaches them at
        `address`. An interrupt ends what this call has started.

        Raises:
            ToolkitError: something is missing, a build failed, or it did not become active.
        """
        self._preflight(overlays)
        cluster = elsewhere.flatten(kubeconfig) if kubeconfig is not None else ""
        with self._interruptible(report):
            references = builds.build_all(self.source, report)
            self._map_images(references["step"])
            self._start_substrate(report)
            self._apply(report, overlays, references)
            if cluster:
                with task(report, "steps") as said:
                    namespace = elsewhere.give(self.juju, self.model, cluster, address)
                    said.append(f"run in the namespace {namespace} of {kubeconfig}")
            self._settle(report, timeout)

    def resume(self, report: Reporter, *, timeout: float) -> None:
        """Start what is stopped, as it was; `up` if there is nothing yet.

        Raises:
            ToolkitError: it did not become active.
        """
        if not self.juju.known():
            self.up(report, overlays=[], timeout=timeout)
            return
        with self._interruptible(report):
            self._start_substrate(report)
            there = self.model in self._models() and self._status()["applications"]
            if there:
                self._settle(report, timeout)
        if not there:
            self.up(report, overlays=[], timeout=timeout)

    @contextmanager
    def _interruptible(self, report: Reporter) -> Iterator[None]:
        """An interrupt ends the daemons, unless they ran before."""
        was_running = self.juju.running()
        try:
            yield
        except KeyboardInterrupt:
            if not was_running:
                shutdown.down(report)
            raise

    def _settle(self, report: Reporter, timeout: float) -> None:
        """Wait until every unit is active and answers; keep the tokens."""
        deadline = time.monotonic() + timeout
        self._wait(report, deadline)
        self._await_answers(report, deadline)
        self._keep_tokens(report)

    def _preflight(self, overlays: Sequence[Path]) -> None:
        missing = [str(file) for file in overlays if not file.is_file()]
        if missing:
            raise ToolkitError(f"no such overlay: {', '.join(missing)}")
        fatal = [finding for finding in doctor.examine() if finding.fatal]
        if fatal:
            lines = [
                f"{finding.subject}: {finding.found}\n  {finding.remedy}" for finding in fatal
            ]
            raise ToolkitError("this machine is not ready\n" + "\n".join(lines))

    def _start_substrate(self, report: Reporter) -> None:
        with task(report, "tinykube") as said:
            said.append("started" if self.kube.start() else "is running")
        with task(report, "minijuju") as said:
            said.append("started" if self.juju.start(self.kube.kubeconfig) else "is running")

    def _map_images(self, step: str) -> None:
        """Let the usual Python images stand for the step image; entries of the user stay first."""
        file = self.kube.folder.config
        config = yaml.safe_load(file.read_text()) if file.exists() else None
        config = config or {}
        entries = [
            entry for entry in config.get("images", []) if entry.get("match") not in PYTHON_IMAGES
        ]
        entries += [{"match": match, "image": step} for match in PYTHON_IMAGES]
        if config.get("images") != entries:
            config["images"] = entries
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = file.with_suffix(".new")
            temporary.write_text(yaml.safe_dump(config, sort_keys=False))
            temporary.replace(file)

    def _apply(
        self, report: Reporter, overlays: Sequence[Path], references: dict[str, str]
    ) -> None:
        if self.model not in self._models():
            self._juju(report, "model", "add-model", self.model, "--no-switch")
        existing = sorted(self._status()["applications"])
        arguments = ["deploy", str(self.source.bundle), "--model", self.model, "--trust"]
        for layer in (self.source.desktop_overlay, *overlays):
            arguments += ["--overlay", str(layer)]
        self._juju(report, "deploy", *arguments)
        for name in existing:
            self._refresh(report, name, references)

    def _refresh(self, report: Reporter, name: str, references: dict[str, str]) -> None:
        """Bring one application up to its packed charm and its built images, if they changed.

        Deploying a bundle again leaves the charms and images of what is there alone, as in Juju.
        """
        archive = self.source.root / "charms" / name / f"{name}.charm"
        if not archive.is_file():
            return
        deployed = self.juju.call("show_application", model=self.model, applications=[name])[name]
        images = {
            key: references[Path(resource["source"]).name]
            for key, resource in deployed["resources"].items()
            if Path(resource.get("source", "")).parent == self.source.root / "images"
        }
        stale = {
            key: reference
            for key, reference in images.items()
            if deployed["resources"][key]["reference"] != reference
        }
        with archive.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if digest == deployed["charm-digest"] and not stale:
            return
        arguments = ["refresh", name, "--model", self.model, "--path", str(archive)]
        for key in stale:
            arguments += ["--resource", f"{key}={deployed['resources'][key]['source']}"]
        self._juju(report, f"refresh {name}", *arguments)

    def _juju(self, report: Reporter, name: str, *arguments: str) -> None:
        """Run one of minijuju's own commands, its output as progress."""
        with task(report, name) as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "minijuju.cli", *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            lines: list[str] = []
            limit = threading.Timer(COMMAND_LIMIT, process.kill)
            # An interrupt may come before it can be cancelled: it holds up nobody's end.
            limit.daemon = True
            try:
                limit.start()
                for line in process.stdout or ():
                    lines.append(line.rstrip())
                    report.note(name, line.strip())
                code = process.wait()
            finally:
                limit.cancel()
                if process.poll() is None:
                    process.kill()
                    process.wait()
            if code:
                raise ToolkitError("\n".join(lines[-20:]) or f"{arguments[0]} ended with {code}")
            said.append(lines[-1].strip() if lines else "")

    def _wait(self, report: Reporter, deadline: float) -> None:
        wrong_since: dict[str, float] = {}
        begun: set[str] = set()
        ended: set[str] = set()
        settled = 0
        while True:
            status = self._status()
            units = dict(self._units(status))
            for name, (state, message) in units.items():
                text = f"{state} {message}".strip()
                if name not in begun:
                    begun.add(name)
                    report.begin(name)
                if state == "active" and name not in ended:
                    ended.add(name)
                    report.end(name, text)
                elif state != "active":
                    ended.discard(name)
                    report.note(name, text)
                if state in GONE_WRONG:
                    wrong_since.setdefault(name, time.monotonic())
                else:
                    wrong_since.pop(name, None)
            calm = units and all(state == "active" for state, _ in units.values())
            settled = settled + 1 if calm and _idle(status) else 0
            if settled == SETTLED:
                return
            stuck = [n for n, t in wrong_since.items() if time.monotonic() - t > PATIENCE]
            if stuck or time.monotonic() > deadline:
                names = (
                    stuck
                    or [n for n, (state, _) in units.items() if state != "active"]
                    or [*units]
                )
                told = "\n".join(f"  {name}: {' '.join(units[name])}" for name in names)
                hint = f"see: minijuju debug-log --model {self.model} --replay"
                raise ToolkitError(f"not active in time, or stuck:\n{told}\n{hint}")
            time.sleep(POLL)

    def _await_answers(self, report: Reporter, deadline: float) -> None:
        """Wait until each component's address answers.

        A unit's status is what its charm last said: after a reboot that may be older than its
        server's start.
        """
        for name, entry in self._status()["applications"].items():
            url = self._url(entry)
            if not url:
                continue
            with task(report, name) as said:
                while not _answers(url):
                    report.note(name, f"waiting for {url} to answer")
                    if time.monotonic() > deadline:
                        raise ToolkitError(f"{name} is active, but {url} does not answer")
                    time.sleep(POLL)
                said.append(f"answers at {url}")

    def _keep_tokens(self, report: Reporter) -> None:
        """Ask each component for its token by its action, and keep it in a private file.

        A kept token that the component does not take any more (the model was made anew) is asked
        for again.
        """
        for name, entry in self._status()["applications"].items():
            url = self._url(entry)
            if not url or _accepts(url, tokens.path(self.model, name)):
                continue
            with task(report, f"token {name}") as said:
                outcome = self.juju.call(
                    "run", model=self.model, units=[f"{name}/0"], action="get-token", params={}
                )
                result = outcome.get(f"{name}/0", {"message": "it could not be run"})
                if result.get("status") != "completed":
                    raise ToolkitError(f"{name}/0 get-token: {result.get('message', result)}")
                file = tokens.write(self.model, name, result["results"]["token"])
                said.append(str(file))

    # -- what runs where -----------------------------------------------------------------------

    def summary(self) -> Summary:
        """The state of the deployment; starts nothing."""
        if not self.juju.running():
            state = "stopped" if self.juju.known() else "absent"
            return Summary(self.model, state, hints=("./toolkit up brings it up",))
        if self.model not in self._models():
            return Summary(self.model, "absent", hints=("./toolkit up deploys it",))
        status = self._status()
        rows = tuple(
            Application(
                name,
                entry["application-status"]["current"],
                entry["application-status"].get("message", ""),
                len(entry.get("units", {})),
                self._url(entry),
            )
            for name, entry in sorted(status["applications"].items())
        )
        hints = (
            'eval "$(./toolkit env)"  points kfp, mlflow and juju at it',
            "./toolkit open metadata  shows runs and models",
            "./toolkit demo           trains and registers a model",
        )
        return Summary(self.model, "running", rows, hints)

    def endpoint(self, application: str) -> Endpoint:
        """Where a component answers.

        Raises:
            ToolkitError: it is not deployed, has no open port yet, or no token was kept.
        """
        applications = self._deployed()
        if application not in applications:
            known = ", ".join(sorted(applications))
            raise ToolkitError(
                f"{application} is not deployed in {self.model}; there are: {known}"
            )
        url = self._url(applications[application])
        if not url:
            raise ToolkitError(f"{application} has opened no port yet; see ./toolkit status")
        file = tokens.path(self.model, application)
        if not file.exists():
            raise ToolkitError(f"no token of {application} is kept; run ./toolkit up")
        return Endpoint(application, url, str(file))

    def exports(self) -> dict[str, str]:
        """Variables that point people's clients at the deployment; `@FILE` stands for content."""
        applications = self._deployed()
        exports = {
            "KUBECONFIG": str(self.kube.kubeconfig),
            "JUJU_MODEL": self.model,
            "PATH": f"{self.juju.shim()}:{Path(sys.executable).parent}",
        }
        if "metadata" in applications:
            metadata = self.endpoint("metadata")
            exports["MLFLOW_TRACKING_URI"] = metadata.url
            exports["MLFLOW_TRACKING_TOKEN"] = f"@{metadata.token_file}"
        if "pipelines" in applications:
            pipelines = self.endpoint("pipelines")
            exports["KF_PIPELINES_ENDPOINT"] = pipelines.url
            exports["KF_PIPELINES_SA_TOKEN_PATH"] = pipelines.token_file
        return exports

    def _deployed(self) -> dict[str, Any]:
        if not self.juju.running() or self.model not in self._models():
            raise ToolkitError(f"model {self.model} is not up; run ./toolkit up")
        applications: dict[str, Any] = self._status()["applications"]
        return applications

    def _models(self) -> list[str]:
        return [entry["short-name"] for entry in self.juju.call("models")["models"]]

    def _status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.juju.call("status", model=self.model)
        return status

    @staticmethod
    def _units(status: dict[str, Any]) -> Iterator[tuple[str, tuple[str, str]]]:
        for name, entry in sorted(status["applications"].items()):
            if not entry.get("units"):
                yield name, ("waiting", "for its first unit")
            for unit, inner in sorted(entry.get("units", {}).items()):
                workload = inner["workload-status"]
                yield unit, (workload["current"], workload.get("message", ""))

    @staticmethod
    def _url(entry: dict[str, Any]) -> str:
        ports = [
            port for unit in entry.get("units", {}).values() for port in unit.get("open-ports", [])
        ]
        if not ports or not entry.get("address"):
            return ""
        return f"http://{entry['address']}:{str(ports[0]).partition('/')[0]}"


def _idle(status: dict[str, Any]) -> bool:
    """Whether no unit runs a hook."""
    return all(
        unit["juju-status"]["current"] == "idle"
        for entry in status["applications"].values()
        for unit in entry.get("units", {}).values()
    )


def _answers(url: str) -> bool:
    """Whether an HTTP server answers there, be it that we need a token."""
    try:
        httpx2.get(url, timeout=5, trust_env=False)
    except httpx2.TransportError:
        return False
    return True


def _accepts(url: str, token_file: Path) -> bool:
    """Whether the component takes the kept token; False if there is none."""
    if not token_file.exists():
        return False
    headers = {"Authorization": f"Bearer {token_file.read_text().strip()}"}
    answer = httpx2.get(url, headers=headers, timeout=30, trust_env=False)
    return answer.status_code != httpx2.codes.UNAUTHORIZED
