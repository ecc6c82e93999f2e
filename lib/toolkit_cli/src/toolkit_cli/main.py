"""The commands of `./toolkit`: what a newcomer types, and what a program may read with --json."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from toolkit_cli import output
from toolkit_cli.errors import ToolkitError
from toolkit_cli.progress import reporter, task
from toolkit_cli.source import Source

DEFAULT_MODEL = "toolkit"


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit code.

    0: done. 1: failed, with the reason on standard error. 2: the command line is wrong.
    130: interrupted.
    """
    words = sys.argv[1:] if argv is None else argv
    # What follows `test` is tox's, options included.
    own, others = (words[:1], words[1:]) if words[:1] == ["test"] else (words, [])
    if others[:1] in (["-h"], ["--help"]):
        own, others = words, []
    arguments = parser().parse_args(own)
    arguments.tox = others
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return int(arguments.run(arguments) or 0)
    except ToolkitError as error:
        print(f"toolkit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("toolkit: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone: say nothing more, and let no flush at exit say it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="./toolkit",
        description="Deploy and use the Charmed ML Toolkit on this machine.",
        epilog="First: ./toolkit up, then ./toolkit demo. ./toolkit VERB --help tells more.",
    )
    verbs = top.add_subparsers(metavar="VERB", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON for a program to read")
    model = argparse.ArgumentParser(add_help=False)
    model.add_argument(
        "--model", metavar="NAME", default=DEFAULT_MODEL, help=f"default: {DEFAULT_MODEL}"
    )

    up = verbs.add_parser(
        "up",
        parents=[common, model],
        help="build what is missing, deploy the bundle, wait until it is active",
        epilog="example: ./toolkit up --overlay my-options.yaml",
    )
    up.add_argument(
        "--overlay", metavar="FILE", type=Path, action="append", default=[],
        help="a bundle overlay on top of bundle/overlays/desktop.yaml; may be repeated",
    )  # fmt: skip
    up.add_argument(
        "--kubeconfig", metavar="FILE", type=Path,
        help="run the steps of pipelines in that cluster, in its current context's namespace",
    )  # fmt: skip
    up.add_argument(
        "--artifact-address", metavar="URL", default="",
        help="with --kubeconfig: where that cluster reaches pipelines, if not at its own address",
    )  # fmt: skip
    up.add_argument(
        "--timeout", metavar="SECONDS", type=float, default=600, help="default: %(default)s"
    )
    up.set_defaults(run=_up)

    demo = verbs.add_parser(
        "demo",
        parents=[common, model],
        help="run a pipeline that trains, evaluates and registers a model",
        epilog="example: ./toolkit demo",
    )
    demo.add_argument(
        "--timeout", metavar="SECONDS", type=float, default=600, help="default: %(default)s"
    )
    demo.set_defaults(run=_demo)

    status = verbs.add_parser(
        "status",
        parents=[common, model],
        help="what runs where",
        epilog="example: ./toolkit status --json",
    )
    status.set_defaults(run=_status)

    opened = verbs.add_parser(
        "open",
        parents=[model],
        help="open a component's page in the browser",
        epilog="example: ./toolkit open metadata",
    )
    opened.add_argument("component", nargs="?", default="metadata", help="default: %(default)s")
    opened.add_argument("--print", action="store_true", help="print the address, open nothing")
    opened.set_defaults(run=_open)

    env = verbs.add_parser(
        "env",
        parents=[common, model],
        help="print the exports that point your clients at the deployment",
        epilog='example: eval "$(./toolkit env)"',
    )
    env.set_defaults(run=_env)

    packed = verbs.add_parser(
        "pack",
        parents=[common],
        help="write charms/NAME/NAME.charm",
        epilog="example: ./toolkit pack --base ubuntu@24.04 --arch arm64",
    )
    packed.add_argument("charm", nargs="*", help="charms to pack; default: all")
    packed.add_argument("--base", help="ubuntu@24.04, say; default: the interpreter at hand")
    packed.add_argument("--arch", help="amd64 or arm64; with --base")
    packed.set_defaults(run=_pack)

    down = verbs.add_parser(
        "down",
        parents=[common],
        help="end every process; the data stays for the next up",
        epilog="example: ./toolkit down --purge",
    )
    down.add_argument(
        "--purge", action="store_true", help="delete the data, the builds and the caches as well"
    )
    down.set_defaults(run=_down)

    test = verbs.add_parser(
        "test",
        help="set up and run the tests, as tox does",
        usage="./toolkit test [TOX OPTIONS]",
        epilog="example: ./toolkit test -e unit -- -k pack",
    )
    test.set_defaults(run=_test)

    doctor = verbs.add_parser(
        "doctor",
        parents=[common],
        help="what this machine has and lacks, each with its remedy",
        epilog="example: ./toolkit doctor",
    )
    doctor.set_defaults(run=_doctor)
    return top


def _up(arguments: argparse.Namespace) -> None:
    from toolkit_cli.deployment import Deployment

    if arguments.artifact_address and arguments.kubeconfig is None:
        raise ToolkitError("--artifact-address goes with --kubeconfig")
    deployment = Deployment(Source.find(), arguments.model)
    with reporter(as_json=arguments.json) as report:
        deployment.up(
            report,
            overlays=arguments.overlay,
            timeout=arguments.timeout,
            kubeconfig=arguments.kubeconfig,
            address=arguments.artifact_address,
        )
    output.show(deployment.summary(), as_json=arguments.json)


def _demo(arguments: argparse.Namespace) -> int:
    from toolkit_cli import demo
    from toolkit_cli.deployment import Deployment

    deployment = Deployment(Source.find(), arguments.model)
    with reporter(as_json=arguments.json) as report:
        deployment.resume(report, timeout=arguments.timeout)
        outcome = demo.run(deployment, report, timeout=arguments.timeout)
    output.show_demo(outcome, as_json=arguments.json)
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from toolkit_cli.deployment import Deployment

    summary = Deployment(Source.find(), arguments.model).summary()
    output.show(summary, as_json=arguments.json)
    return 0 if summary.active else 1


def _open(arguments: argparse.Namespace) -> None:
    from toolkit_cli.deployment import Deployment

    address = Deployment(Source.find(), arguments.model).endpoint(arguments.component)
    output.open_page(address, browse=not arguments.print)


def _env(arguments: argparse.Namespace) -> None:
    from toolkit_cli.deployment import Deployment

    output.show_exports(
        Deployment(Source.find(), arguments.model).exports(), as_json=arguments.json
    )


def _pack(arguments: argparse.Namespace) -> None:
    from toolkit_cli.pack import Target, pack

    if arguments.arch and not arguments.base:
        raise ToolkitError(
            "--arch goes with --base; without it charms are packed for this machine"
        )
    source = Source.find()
    target = Target.of_base(arguments.base, arguments.arch) if arguments.base else Target.here()
    folders = [source.charm(name) for name in arguments.charm] or source.charms()
    archives: list[Path] = []
    with reporter(as_json=arguments.json) as report:
        for folder in folders:
            name = f"pack {folder.name}"
            with task(report, name) as said:
                archives.append(
                    pack(folder, target, progress=lambda text, n=name: report.note(n, text))  # type: ignore[misc]
                )
                said.append(f"{archives[-1].stat().st_size / 1e6:.1f} MB")
    output.show_archives(
        [archive.relative_to(source.root) for archive in archives], as_json=arguments.json
    )


def _down(arguments: argparse.Namespace) -> None:
    from toolkit_cli import shutdown

    with reporter(as_json=arguments.json) as report:
        shutdown.down(report)
        if arguments.purge:
            shutdown.purge(report, Source.find())


def _test(arguments: argparse.Namespace) -> int:
    source = Source.find()
    conf = str(source.root / "tox.ini")
    command = [sys.executable, "-m", "tox", "--conf", conf, *arguments.tox]
    return subprocess.run(command, cwd=source.root, check=False).returncode


def _doctor(arguments: argparse.Namespace) -> int:
    from toolkit_cli import doctor

    findings: list[Any] = doctor.examine()
    output.show_findings(findings, as_json=arguments.json)
    return 1 if any(finding.fatal for finding in findings) else 0
