"""The command line: what each command is given, and that an error is one line and exit status 1."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shim import cli, daemon, telemetry
from shim.config import Deadlines, Kubernetes, Settings
from shim.errors import ShimError
from shim.model import EndpointID, EndpointState, Network
from shim.store import FILE_NAME, Store
from tests.unit.standins import ENDPOINT_ID, NETWORK_ID, endpoint

Capture = pytest.CaptureFixture[str]

RECORDED = Path(__file__).parent / "trace" / "recorded" / "run.jsonl"


@pytest.fixture(autouse=True)
def no_kubernetes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have a cluster of his own."""
    monkeypatch.delenv("KUBECONFIG", raising=False)


@pytest.fixture
async def state_dir(tmp_path: Path) -> Path:
    """A journal with a network and two endpoints, whose daemon has stopped."""
    store = Store(tmp_path / "state")
    await store.open()
    await store.save_network(Network(NETWORK_ID, "web"))
    await store.save_endpoint(endpoint(EndpointState.JOINED))
    await store.save_endpoint(endpoint(EndpointState.JOINED, id=EndpointID("ef" * 32)))
    await store.close()
    return tmp_path / "state"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings that `serve` starts daemons with; none is started."""
    settings: list[Settings] = []

    async def serve(given: Settings) -> None:
        settings.append(given)

    monkeypatch.setattr(daemon, "serve", serve)
    monkeypatch.setattr(telemetry, "start", lambda _level: None)
    return settings


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A settings file."""
    path = tmp_path / "config.yaml"
    path.write_text("driver_name: filed\nlog_level: debug\ndeadlines: {add: 11, delete: 12, engine: 13}\n")
    return path


def refused(capture: Capture, *arguments: str) -> str:
    """The one line on stderr of a command that fails with status 1, without the program's name."""
    assert cli.main(arguments) == 1
    out, err = capture.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("cnm-cni: ")
    return err.removeprefix("cnm-cni: ").rstrip("\n")


def misused(capture: Capture, *arguments: str) -> str:
    """What a command that is written wrongly prints on stderr, with status 2 and the usage."""
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    err = capture.readouterr().err
    assert err.startswith("usage: cnm-cni")
    return err


# serve


def test_serve_takes_the_settings_file(served: list[Settings], config: Path) -> None:
    assert cli.main(["serve", "--config", str(config)]) == 0

    assert served == [Settings(driver_name="filed", log_level="debug", deadlines=Deadlines(11, 12, 13))]


def test_every_flag_of_serve_wins_over_the_file(served: list[Settings], config: Path) -> None:
    flags: dict[str, Any] = {
        "--driver-name": "flagged",
        "--socket": "/f/cni.sock",
        "--plugin-path": "/f/one:/f/two",
        "--conf-dirs": "/f/net.d",
        "--state-dir": "/f/state",
        "--run-dir": "/f/run",
        "--docker-socket": "/f/docker.sock",
        "--log-level": "error",
        "--add-deadline": "1.5",
        "--delete-deadline": "2",
        "--engine-deadline": "0.25",
        "--kubernetes-deadline": "0.5",
        "--kubeconfig": "/f/kubeconfig",
        "--node": "node-a",
    }

    assert (
        cli.main(["serve", "--config", str(config), *(word for flag in flags.items() for word in flag)]) == 0
    )

    assert served == [
        Settings(
            driver_name="flagged",
            socket=Path("/f/cni.sock"),
            plugin_path=(Path("/f/one"), Path("/f/two")),
            conf_dirs=(Path("/f/net.d"),),
            state_dir=Path("/f/state"),
            run_dir=Path("/f/run"),
            docker_socket=Path("/f/docker.sock"),
            log_level="error",
            deadlines=Deadlines(1.5, 2.0, 0.25, 0.5),
            kubernetes=Kubernetes(kubeconfig=Path("/f/kubeconfig"), node="node-a"),
        )
    ]


def test_one_deadline_by_flag_leaves_the_others_as_in_the_file(served: list[Settings], config: Path) -> None:
    cli.main(["serve", "--config", str(config), "--add-deadline", "1"])

    assert served[0].deadlines == Deadlines(1, 12, 13)


def test_serve_logs_at_the_level_that_was_set(
    served: list[Settings], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels: list[str] = []
    monkeypatch.setattr(telemetry, "start", levels.append)

    cli.main(["serve", "--config", str(config)])

    assert levels == ["debug"]
    assert len(served) == 1


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--socket", "cni.sock", "--socket: expected an absolute path, found 'cni.sock'"),
        ("--plugin-path", "/a:b", "--plugin-path: expected an absolute path, found 'b'"),
        ("--log-level", "loud", "--log-level: expected one of debug, info, warning, error, found 'loud'"),
        ("--driver-name", "a/b", "--driver-name: expected letters, digits and '-', found 'a/b'"),
        ("--add-deadline", "0", "--add-deadline: expected a number of seconds above 0 .*, found 0.0"),
        ("--add-deadline", "nan", "--add-deadline: expected a number of seconds above 0 .*, found nan"),
    ],
)  # fmt: skip
def test_a_flag_with_a_bad_value_is_refused_by_its_name(
    capsys: Capture, flag: str, value: str, words: str
) -> None:
    assert re.fullmatch(words, refused(capsys, "serve", flag, value))


@pytest.mark.usefixtures("served")
def test_a_settings_file_with_a_mistake_is_refused_by_file_and_key(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("sokcet: /run/cni.sock\n")

    line = refused(capsys, "serve", "--config", str(tmp_path / "config.yaml"))

    assert line.startswith(f"{tmp_path}/config.yaml: unknown key 'sokcet'; expected one of: driver_name, ")


def test_an_error_with_a_cure_is_still_one_line(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(_settings: Settings) -> None:
        raise ShimError("it\nbroke", cure="mend\nit")

    monkeypatch.setattr(daemon, "serve", serve)
    monkeypatch.setattr(telemetry, "start", lambda _level: None)

    assert refused(capsys, "serve", "--run-dir", "/f") == "it broke (mend it)"


# Looking


def test_looking_reads_the_journal_of_the_state_folder_given(capsys: Capture, state_dir: Path) -> None:
    where = ("--state-dir", str(state_dir), "--docker-socket", str(state_dir / "no.sock"))

    assert cli.main(["network", "ls", *where]) == 0
    assert "aaaaaaaaaaaa   -      web           2\n" in capsys.readouterr().out
    assert cli.main(["endpoint", "ls", *where]) == 0
    assert capsys.readouterr().out.count("joined") == 2
    assert cli.main(["endpoint", "show", "ee", *where]) == 0
    assert f"endpoint:    {ENDPOINT_ID}\n" in capsys.readouterr().out
    assert cli.main(["resolve", "web", *where, "--node", "node-a"]) == 0
    assert "aaaaaaaaaaaa   node-a   -             web           journal   -\n" in capsys.readouterr().out


def test_looking_with_json_prints_json_alone(capsys: Capture, state_dir: Path) -> None:
    where = ("--state-dir", str(state_dir), "--docker-socket", str(state_dir / "no.sock"), "--json")

    for command, form in (
        ("network ls", list),
        ("endpoint ls", list),
        ("endpoint show ee", dict),
        ("reservation ls", list),
        ("resolve web", list),
    ):
        assert cli.main([*command.split(), *where]) == 0
        assert type(json.loads(capsys.readouterr().out)) is form


def test_looking_finds_the_journal_through_the_settings_file_too(
    capsys: Capture, state_dir: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"state_dir: {state_dir}\ndocker_socket: {tmp_path}/no.sock\n")

    assert cli.main(["endpoint", "ls", "--config", str(config)]) == 0

    assert capsys.readouterr().out.count("joined") == 2


@pytest.mark.parametrize(
    ("wanted", "words"), [("e", "several endpoints begin with e"), ("7", "no endpoint begins with 7")]
)
def test_an_id_that_means_none_or_several_is_one_line(
    capsys: Capture, state_dir: Path, wanted: str, words: str
) -> None:
    where = ("--state-dir", str(state_dir), "--docker-socket", str(state_dir / "no.sock"))

    assert refused(capsys, "endpoint", "show", wanted, *where).startswith(words)


def test_a_journal_that_cannot_be_read_is_one_line(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("not a database, but long enough to be taken for one" * 20)

    line = refused(capsys, "network", "ls", "--state-dir", str(tmp_path))

    assert line.startswith(f"{tmp_path}/{FILE_NAME}: file is not a database (")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_makes_no_noise(state_dir: Path, unbuffered: str) -> None:
    command = [sys.executable, "-m", "shim.cli", "endpoint", "ls", "--json", "--state-dir", str(state_dir)]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""

    assert process.returncode == 1


# Traces


def test_a_trace_is_drawn_to_stdout_or_into_a_file(capsys: Capture, tmp_path: Path) -> None:
    assert cli.main(["trace", "draw", str(RECORDED)]) == 0
    drawn = capsys.readouterr().out
    assert cli.main(["trace", "draw", str(RECORDED), "-o", str(tmp_path / "run.svg")]) == 0

    assert drawn.startswith("<svg ")
    assert (tmp_path / "run.svg").read_text() == drawn
    assert capsys.readouterr().out == ""


def test_a_picture_may_be_given_a_title(capsys: Capture) -> None:
    assert cli.main(["trace", "draw", str(RECORDED), "--title", "docker run <web>"]) == 0

    assert ">docker run &lt;web&gt;</title>" in capsys.readouterr().out


def test_a_trace_is_read_from_stdin_too(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    with RECORDED.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert cli.main(["trace", "draw", "-"]) == 0

    assert capsys.readouterr().out.startswith("<svg ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file or directory (record one with: cnm-cni trace -o FILE)"),
        ("# A heading", "this is no trace (record one with: cnm-cni trace -o FILE)"),
        ("\0\n", "line 1 is not JSON: Expecting value: "),
    ],
)
def test_a_bad_file_is_one_line_with_its_cure(
    capsys: Capture, tmp_path: Path, content: str | None, words: str
) -> None:
    file = tmp_path / "trace"
    if content is not None:
        file.write_text(content)

    assert refused(capsys, "trace", "draw", str(file)).startswith(f"{file}: {words}")


def test_a_picture_that_cannot_be_written_is_one_line_with_its_cure(capsys: Capture, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "no" / "such.svg")
    copy = tmp_path / "run.jsonl"
    copy.write_bytes(RECORDED.read_bytes())

    assert refused(capsys, "trace", "draw", str(RECORDED), "-o", nowhere) == (
        f"{nowhere}: cannot be written: No such file or directory (give another -o)"
    )
    assert refused(capsys, "trace", "draw", str(copy), "-o", str(copy)) == (
        f"{copy}: the picture would take the place of the trace (give another -o)"
    )
    assert copy.read_bytes() == RECORDED.read_bytes()


def test_without_a_driver_a_proxy_is_one_line_with_its_cure(capsys: Capture, tmp_path: Path) -> None:
    real = str(tmp_path / "real.sock")

    assert refused(capsys, "trace", "proxy", str(tmp_path / "new.sock"), real) == (
        f"{real}: no driver listens here: No such file or directory (start the driver first)"
    )


def test_without_a_daemon_a_trace_is_one_line_with_its_cure(capsys: Capture, tmp_path: Path) -> None:
    assert refused(capsys, "trace", "--run-dir", str(tmp_path)) == (
        f"{tmp_path}/trace.sock: no daemon listens here (systemctl start cnm-cni, or give its --run-dir)"
    )


# What is no command


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["endpoint"], "the following arguments are required: COMMAND"),
        (["endpoint", "rm"], "invalid choice: 'rm'"),
        (["endpoint", "show"], "the following arguments are required: ID"),
        (["resolve"], "the following arguments are required: ID|NAME"),
        (["network", "show", "e"], "invalid choice: 'show'"),
        (["serve", "--sock", "/s"], "unrecognized arguments: --sock /s"),
        (["network", "ls", "--socket", "/s"], "unrecognized arguments: --socket /s"),
        (["serve", "--add-deadline", "soon"], "argument --add-deadline: invalid float value: 'soon'"),
        (["trace", "--for", "0"], "argument --for: invalid float value: '0'"),
        (["trace", "--for", "inf"], "argument --for: invalid float value: 'inf'"),
        (["trace", "--count", "1.5"], "argument --count: invalid int value: '1.5'"),
        (["trace", "paint"], "invalid choice: 'paint'"),
        (["trace", "draw"], "the following arguments are required: FILE"),
        (["trace", "proxy", "/s"], "the following arguments are required: SOCKET"),
    ],
)
def test_what_is_no_command_is_refused_with_the_usage(
    capsys: Capture, arguments: list[str], words: str
) -> None:
    assert words in misused(capsys, *arguments)


def test_the_version_is_printed_by_command_and_by_flag(capsys: Capture) -> None:
    assert cli.main(["version"]) == 0
    by_command = capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])

    assert stop.value.code == 0
    assert capsys.readouterr().out == by_command
    assert by_command.startswith("cnm-cni 0")


@pytest.mark.parametrize(
    "command",
    [
        "",
        "serve",
        "network ls",
        "endpoint ls",
        "endpoint show",
        "reservation ls",
        "resolve",
        "trace",
        "trace draw",
        "trace proxy",
        "version",
    ],
)
def test_every_command_has_help(capsys: Capture, command: str) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([*command.split(), "--help"])

    assert stop.value.code == 0
    assert f"usage: cnm-cni {command}".rstrip() in capsys.readouterr().out
