"""The command line: `cnm-cni serve`, looking at what the daemon has done, and single CNI operations.

One function for each command, which takes the parsed arguments. Commands import what they need when
they run, so that looking stays quick.
"""

import argparse
import asyncio
import math
import os
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import shim
from shim import config
from shim.config import Settings
from shim.errors import ShimError

if TYPE_CHECKING:
    from shim.trace.recording import Recorder

    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names it nowhere else

_FLAGS = {
    "--driver-name": ("NAME", "the name after `docker network create -d`"),
    "--socket": ("PATH", "where Docker finds the driver"),
    "--plugin-path": ("PATH[:PATH...]", "folders of CNI plugins (CNI_PATH)"),
    "--conf-dirs": ("PATH[:PATH...]", "folders of conflists"),
    "--state-dir": ("PATH", "where the journal is kept"),
    "--run-dir": ("PATH", "where staging namespaces stand"),
    "--docker-socket": ("PATH", "the engine's API"),
    "--log-level": ("LEVEL", "debug, info, warning or error"),
    "--kubeconfig": ("PATH", "how to reach Kubernetes (default: KUBECONFIG)"),
    "--node": ("NAME", "this engine's name in Kubernetes (default: the host's name)"),
    "--add-deadline": ("SECONDS", "for one plugin run at ADD"),
    "--delete-deadline": ("SECONDS", "for one plugin run at DEL"),
    "--engine-deadline": ("SECONDS", "for one question to the engine"),
    "--kubernetes-deadline": ("SECONDS", "for what network creation asks Kubernetes"),
}

_CNI_ACTIONS = {
    "add": "attach a network namespace to a network",
    "del": "detach it",
    "check": "ask the plugins whether the attachment is as it should be",
    "gc": "clean up after namespaces that are gone",
    "status": "ask the plugins whether they are ready",
    "version": "print the versions that the plugins speak",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0, or 1 after an error printed as one line."""
    parsed = _parser().parse_args(arguments)
    try:
        parsed.run(parsed)
        sys.stdout.flush()
    except ShimError as error:
        print(f"cnm-cni: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # as with `| head`; what is still buffered must not be written at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cnm-cni", description="Plain Docker uses CNI.", allow_abbrev=False)
    parser.add_argument("--version", action=_VersionAction, nargs=0, help="print the version")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_looking(commands, "network", "the Docker networks bound to CNI networks")
    endpoint = _add_looking(commands, "endpoint", "the containers' attachments to them", show=True)
    _add_check(endpoint)
    _add_looking(commands, "reservation", "the addresses that were given before there was a container")
    _add_resolve(commands)
    _add_trace(commands)
    _add_cni(commands)
    version = commands.add_parser("version", help="print the version")
    version.set_defaults(run=_version)
    return parser


def _add_serve(commands: "_Commands") -> None:
    serve = commands.add_parser(
        "serve",
        help="run the daemon that Docker talks to",
        description="Run the daemon. A flag wins over the settings file.",
        allow_abbrev=False,
    )
    _add_flags(serve, _FLAGS)
    serve.set_defaults(run=_serve)


def _add_looking(commands: "_Commands", subject: str, text: str, *, show: bool = False) -> "_Commands":
    group = commands.add_parser(subject, help=text, allow_abbrev=False)
    actions = group.add_subparsers(title="commands", required=True, metavar="COMMAND")
    views = {"ls": actions.add_parser("ls", help="list them", allow_abbrev=False)}
    if show:
        views["show"] = actions.add_parser("show", help="show one in full", allow_abbrev=False)
        views["show"].add_argument("id", metavar="ID", help=f"the {subject}'s ID, or its beginning")
    for action, parser in views.items():
        parser.add_argument("--json", action="store_true", help="print JSON")
        _add_flags(parser, ("--state-dir", "--docker-socket"))
        parser.set_defaults(run=_look, view=f"{subject} {action}")
    return actions


def _add_check(actions: "_Commands") -> None:
    parser = actions.add_parser(
        "check",
        help="ask the plugins whether containers have what they made (CHECK)",
        description="Ask the plugins whether containers have what they made. The exit status is 1 when not.",
        allow_abbrev=False,
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("id", metavar="ID", nargs="?", default="", help="the endpoint's ID, or its beginning")
    which.add_argument("--all", action="store_true", help="all endpoints that containers have")
    parser.add_argument("--json", action="store_true", help="print JSON")
    _add_flags(parser, ("--state-dir", "--plugin-path", "--add-deadline"))
    parser.set_defaults(run=_check)


def _add_resolve(commands: "_Commands") -> None:
    parser = commands.add_parser(
        "resolve",
        help="show which logical network a Docker network is, on every node",
        description="Show which logical network a Docker network is: by this node's journal, by Kubernetes, "
        "or by the engine.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "wanted",
        metavar="ID|NAME",
        help="Docker's ID or its beginning, Docker's name, or the logical network's",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    _add_flags(parser, ("--state-dir", "--docker-socket", "--kubeconfig", "--node"))
    parser.set_defaults(run=_resolve)


def _add_trace(commands: "_Commands") -> None:
    parser = commands.add_parser(
        "trace",
        help="record what the daemon does, and draw it",
        description="Record every call of the engine, every plugin run and all else that the daemon does, "
        "as JSON lines, until Ctrl-C. The daemon need not be restarted. Secrets are left out.",
        allow_abbrev=False,
    )
    _add_extent(parser)
    _add_flags(parser, ("--run-dir",))
    parser.set_defaults(run=_trace)
    actions = parser.add_subparsers(title="commands", metavar="[COMMAND]")
    draw = actions.add_parser(
        "draw",
        help="make a picture of a trace",
        description="Draw a trace as a sequence diagram (SVG).",
        allow_abbrev=False,
    )
    draw.add_argument("file", type=Path, metavar="FILE", help="the trace; - for stdin")
    draw.add_argument("-o", "--output", type=Path, metavar="FILE", help="the picture (default: stdout)")
    draw.add_argument("--title", default="", metavar="TEXT", help="what is written above it")
    draw.set_defaults(run=_draw)
    proxy = actions.add_parser(
        "proxy",
        help="record what Docker and any other driver say",
        description="Record what Docker and any remote driver say to each other, as JSON lines, until "
        "Ctrl-C. All passes unchanged. What is made with the new driver works only while this runs.",
        allow_abbrev=False,
    )
    proxy.add_argument(
        "listen",
        type=Path,
        metavar="NEW_SOCKET",
        help="such as /run/docker/plugins/traced.sock, for -d traced",
    )
    proxy.add_argument("target", type=Path, metavar="SOCKET", help="where the real driver listens")
    _add_extent(proxy)
    proxy.set_defaults(run=_proxy)


def _add_extent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to write (default: stdout)")
    parser.add_argument(
        "--for", dest="seconds", type=_positive(float), metavar="SECONDS", help="stop after that time"
    )
    parser.add_argument("--count", type=_positive(int), metavar="N", help="stop after N calls of the engine")


def _add_cni(commands: "_Commands") -> None:
    group = commands.add_parser(
        "cni",
        help="run one CNI operation by hand, without Docker (as cnitool)",
        description="Run one CNI operation. Read from the environment: CNI_PATH, NETCONFPATH, CNI_ARGS, "
        "CAP_ARGS (JSON) and CNI_IFNAME.",
        allow_abbrev=False,
    )
    actions = group.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for action, text in _CNI_ACTIONS.items():
        parser = actions.add_parser(action, help=text, allow_abbrev=False)
        parser.add_argument("network", metavar="NET", help="the network's name")
        of_network = action in {"gc", "status", "version"}  # cnitool wants a namespace even there
        parser.add_argument(
            "netns",
            metavar="NETNS",
            nargs="?" if of_network else None,
            default="",
            help="path of the sandbox",
        )
        parser.add_argument("-i", "--ifname", default="", help="the interface's name (default: eth0)")
        parser.add_argument("--json", action="store_true", help="print JSON, also of an error")
        parser.set_defaults(run=_cni, action=action)


def _add_flags(parser: argparse.ArgumentParser, flags: Iterable[str]) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"the settings file (default: {config.DEFAULT_FILE})"
    )
    for flag in flags:
        metavar, text = _FLAGS[flag]
        kind = float if metavar == "SECONDS" else str
        parser.add_argument(flag, dest=flag, type=kind, metavar=metavar, help=text)


def _serve(arguments: argparse.Namespace) -> None:
    from shim import daemon, telemetry

    settings = _settings(arguments)
    telemetry.start(settings.log_level)
    asyncio.run(daemon.serve(settings))


def _look(arguments: argparse.Namespace) -> None:
    from shim import views

    view = views.VIEWS[arguments.view]
    text = asyncio.run(view(_settings(arguments), getattr(arguments, "id", ""), as_json=arguments.json))
    print(text)


def _check(arguments: argparse.Namespace) -> None:
    from shim import checks

    found = asyncio.run(checks.check(_settings(arguments), arguments.id))
    print(checks.shown(found, as_json=arguments.json))
    if failed := [item for item in found if item.error]:
        raise ShimError(
            f"CHECK does not pass for {len(failed)} of {len(found)} endpoints",
            cure="start the container again, which makes it anew, unless the plugin is mistaken: "
            'docs/fidelity.md has such under "flawed"',
        )


def _resolve(arguments: argparse.Namespace) -> None:
    from shim import lookup

    print(asyncio.run(lookup.resolve(_settings(arguments), arguments.wanted, as_json=arguments.json)))


def _trace(arguments: argparse.Namespace) -> None:
    from shim.trace import feed, recording

    socket = _settings(arguments).run_dir / feed.NAME
    _record(arguments, lambda recorder: recording.record(socket, recorder))


def _draw(arguments: argparse.Namespace) -> None:
    from shim.trace.drawing import files

    files.draw_file(arguments.file, arguments.output, arguments.title)


def _proxy(arguments: argparse.Namespace) -> None:
    from shim.trace import proxy

    _record(arguments, lambda recorder: proxy.proxy(arguments.listen, arguments.target, recorder))


def _record(
    arguments: argparse.Namespace, record: "Callable[[Recorder], Coroutine[None, None, None]]"
) -> None:
    from shim.trace.recording import Extent, Recorder

    recorder = Recorder(arguments.output, Extent(arguments.seconds, arguments.count))
    asyncio.run(record(recorder))
    if arguments.output:
        print(f"{arguments.output}: {recorder}", file=sys.stderr)


def _cni(arguments: argparse.Namespace) -> None:
    from shim import cni_command

    command = cni_command.COMMANDS[arguments.action]
    try:
        call = cni_command.prepare(
            arguments.network, arguments.netns, arguments.ifname, as_json=arguments.json
        )
        sys.stdout.write(asyncio.run(command(call)))
    except ShimError as error:
        if arguments.json:
            sys.stdout.write(cni_command.failure(error))
        raise


def _positive(kind: type[float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        number = kind(text)
        if not 0 < number < math.inf:
            raise ValueError(text)
        return number

    read.__name__ = kind.__name__  # as argparse names it in an error
    return read


def _version(_arguments: argparse.Namespace) -> None:
    print(f"cnm-cni {shim.__version__}")


class _VersionAction(argparse.Action):
    """Prints the version, which argparse's own action would look up at every start."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *_: object) -> None:
        _version(namespace)
        parser.exit()


def _settings(arguments: argparse.Namespace) -> Settings:
    given = {key: value for key, value in vars(arguments).items() if key in _FLAGS and value is not None}
    return config.load(arguments.config, given)


if __name__ == "__main__":
    sys.exit(main())
