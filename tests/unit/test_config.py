"""Settings: defaults, file, flags; each mistake names the file, the key, and what was expected."""

import socket
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from shim import config
from shim.config import Deadlines, Kubernetes, Settings, load
from shim.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "examples" / "config.yaml"

WriteConfig = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> WriteConfig:
    def write_config(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return write_config


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DEFAULT_FILE", tmp_path / "missing.yaml")

    assert load() == Settings()


def test_the_default_file_is_read_when_it_exists(write: WriteConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DEFAULT_FILE", write("driver_name: other"))

    assert load().driver_name == "other"


def test_a_file_that_was_asked_for_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.yaml: no such file"):
        load(tmp_path / "missing.yaml")


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "{}", "null"])
def test_an_empty_file_means_the_defaults(write: WriteConfig, text: str) -> None:
    assert load(write(text)) == Settings()


def test_every_setting_is_read_from_the_file(write: WriteConfig) -> None:
    path = write(
        """
        driver_name: lab-2
        socket: /run/lab.sock
        plugin_path: [/a, /b]
        conf_dirs: [/etc/a, /etc/b]
        state_dir: /state
        run_dir: /run/lab
        docker_socket: /run/lab/docker.sock
        deadlines: {add: 1, delete: 2.5, engine: 3600, kubernetes: 3}
        kubernetes:
          enabled: false
          server: https://192.0.2.1:6443/
          token_file: /token
          ca_file: /ca.crt
          node: node-a.example
          namespace: shims
          default_namespace: team-a
          namespaces: [team-a, team-b, team-a]
          heartbeat: 5
          forget_after: 60
          status_interval: 1
        log_level: debug
        """
    )

    assert load(path) == Settings(
        driver_name="lab-2",
        socket=Path("/run/lab.sock"),
        plugin_path=(Path("/a"), Path("/b")),
        conf_dirs=(Path("/etc/a"), Path("/etc/b")),
        state_dir=Path("/state"),
        run_dir=Path("/run/lab"),
        docker_socket=Path("/run/lab/docker.sock"),
        deadlines=Deadlines(add=1.0, delete=2.5, engine=3600.0, kubernetes=3.0),
        kubernetes=Kubernetes(
            enabled=False,
            server="https://192.0.2.1:6443",
            token_file=Path("/token"),
            ca_file=Path("/ca.crt"),
            node="node-a.example",
            namespace="shims",
            default_namespace="team-a",
            namespaces=("team-a", "team-b"),
            heartbeat=5.0,
            forget_after=60.0,
            status_interval=1.0,
        ),
        log_level="debug",
    )


def test_a_deadline_left_out_keeps_its_default(write: WriteConfig) -> None:
    assert load(write("deadlines: {add: 5}")).deadlines == Deadlines(add=5.0)


def test_plugin_path_may_be_written_as_cni_path_is(write: WriteConfig) -> None:
    assert load(write("plugin_path: /opt/cni/bin:/x")).plugin_path == (Path("/opt/cni/bin"), Path("/x"))


def test_the_socket_is_named_after_the_driver_unless_it_is_set(write: WriteConfig) -> None:
    assert load(write("driver_name: lab")).listen == Path("/run/docker/plugins/lab.sock")
    assert load(write("{driver_name: lab, socket: /x.sock}")).listen == Path("/x.sock")


def test_flags_win_over_the_file(write: WriteConfig) -> None:
    settings = load(write("{state_dir: /file, run_dir: /file}"), {"--state-dir": "/flag"})

    assert (settings.state_dir, settings.run_dir) == (Path("/flag"), Path("/file"))


def test_a_bad_flag_is_named_as_the_user_typed_it(write: WriteConfig) -> None:
    with pytest.raises(ConfigError, match=r"^--state-dir: expected an absolute path, found 'here'$"):
        load(write(""), {"--state-dir": "here"})


def test_a_deadline_given_as_a_flag_leaves_the_files_others(write: WriteConfig) -> None:
    settings = load(write("deadlines: {add: 5, delete: 6}"), {"--add-deadline": 7.5})

    assert settings.deadlines == Deadlines(add=7.5, delete=6.0)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), 3601.0])
def test_a_bad_deadline_flag_is_named_as_the_user_typed_it(write: WriteConfig, value: float) -> None:
    with pytest.raises(ConfigError, match=r"^--add-deadline: expected a number of seconds"):
        load(write(""), {"--add-deadline": value})


def test_an_unknown_key_is_refused_with_the_known_ones(write: WriteConfig) -> None:
    path = write("state_folder: /x")

    with pytest.raises(ConfigError) as caught:
        load(path)

    assert str(caught.value).startswith(f"{path}: unknown key 'state_folder'; expected one of: driver_name, ")


def test_an_unknown_deadline_is_refused_with_the_known_ones(write: WriteConfig) -> None:
    with pytest.raises(
        ConfigError, match=r"deadlines: unknown key 'del'; expected one of: add, delete, engine"
    ):
        load(write("deadlines: {del: 3}"))


@pytest.mark.parametrize("text", ["- a", "text", "42", "true: 1", "1: 2", "null: 3"])
def test_a_file_that_is_no_mapping_of_known_keys_is_refused(write: WriteConfig, text: str) -> None:
    with pytest.raises(ConfigError, match=r"config\.yaml: (expected a mapping|unknown key)"):
        load(write(text))


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "\tkey: value",
        "? [a]\n: b",
        "!!python/object/apply:os.getcwd []",
        "a: \0",
        "log_level: 2024-13-45",
        "a: " + "9" * 5000,
        "[" * 100_000,
    ],
    ids=["unclosed", "tab", "list as key", "python tag", "NUL", "impossible date", "huge number", "too deep"],
)
def test_what_yaml_cannot_read_is_refused_in_one_line(write: WriteConfig, text: str) -> None:
    with pytest.raises(ConfigError, match=r"config\.yaml: not valid YAML: ") as caught:
        load(write(text))

    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xff\xfe\xfa")

    with pytest.raises(ConfigError, match="cannot be read"):
        load(path)


@pytest.mark.parametrize("flag", ["--socket", "--state-dir", "--run-dir", "--docker-socket", "--kubeconfig"])
@pytest.mark.parametrize("value", ["here", "./here", "", None, 5, True, ["/a"], "~/x", "/a\0b"])
def test_a_path_must_be_absolute_text(flag: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{flag}: expected an absolute path"):
        load(EXAMPLE, {flag: value})


@pytest.mark.parametrize("flag", ["--plugin-path", "--conf-dirs"])
@pytest.mark.parametrize("value", [[], None, "", "/a::/b", ["/a", "b"], ["/a", None], {"/a": 1}, 5])
def test_a_list_of_paths_must_be_absolute_and_not_empty(flag: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=r"expected (a list of absolute paths|an absolute path)"):
        load(EXAMPLE, {flag: value})


@pytest.mark.parametrize(
    "value", [0, -1, 3600.5, 10**400, float("nan"), float("inf"), float("-inf"), True, "60", None, [1]]
)
@pytest.mark.parametrize("key", ["add", "delete", "engine", "kubernetes"])
def test_a_deadline_must_be_a_number_of_seconds(key: str, value: Any) -> None:
    flag = f"--{key}-deadline"
    with pytest.raises(ConfigError, match=f"{flag}: expected a number of seconds above 0 and up to"):
        load(EXAMPLE, {flag: value})


@pytest.mark.parametrize("text", [".nan", ".inf", "1e999"])
def test_yaml_spellings_of_no_number_are_no_deadline(write: WriteConfig, text: str) -> None:
    with pytest.raises(ConfigError, match="expected a number of seconds"):
        load(write(f"deadlines: {{add: {text}}}"))


@pytest.mark.parametrize("value", ["", "-", "a/b", "../cni", "a b", "cni.sock", "ä", None, 5, "a\n"])
def test_a_driver_name_cannot_leave_the_plugin_folder(value: Any) -> None:
    with pytest.raises(ConfigError, match="expected letters, digits and '-'"):
        load(EXAMPLE, {"--driver-name": value})


@pytest.mark.parametrize("value", ["DEBUG", "warn", "", None, 10, ["info"]])
def test_a_log_level_is_one_of_four(value: Any) -> None:
    with pytest.raises(ConfigError, match="expected one of debug, info, warning, error"):
        load(EXAMPLE, {"--log-level": value})


def test_a_kubeconfig_given_as_a_flag_leaves_the_files_other_kubernetes_settings(write: WriteConfig) -> None:
    settings = load(write("kubernetes: {node: node-a, kubeconfig: /file}"), {"--kubeconfig": "/flag"})

    assert settings.kubernetes == Kubernetes(node="node-a", kubeconfig=Path("/flag"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{kubeconfig: /a, server: 'https://b', token_file: /t}", "kubeconfig and server exclude each other"),
        ("{server: 'https://b'}", "server needs a token_file"),
        ("{token_file: /t}", "token_file and ca_file need a server"),
        ("{server: 'http://b', token_file: /t}", r"server: expected https://HOST\[:PORT\], found 'http://b'"),
        ("{enabled: 1}", "enabled: expected true or false, found 1"),
        ("{node: Node_A}", "node: expected up to 63 lower case letters, digits, '-' and '.', found 'Node_A'"),
        ("{node: -a}", "node: expected up to 63"),
        (f"{{node: {'a' * 64}}}", "node: expected up to 63"),
        ("{namespace: a.b}", "namespace: expected the name of a namespace, found 'a.b'"),
        ("{namespaces: team-a}", "namespaces: expected a list of namespaces, found 'team-a'"),
        ("{namespaces: [team_a]}", "namespaces: expected the name of a namespace, found 'team_a'"),
        ("{heartbeat: 0}", "heartbeat: expected a number of seconds"),
        ("{context: lab}", "unknown key 'context'; expected one of: enabled, kubeconfig, server"),
        ("true", "expected a mapping of settings, found True"),
    ],
)  # fmt: skip
def test_mistakes_about_kubernetes_are_refused_by_key(write: WriteConfig, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=rf"config\.yaml: kubernetes: {words}"):
        load(write(f"kubernetes: {text}"))


@pytest.mark.parametrize(
    ("host", "node"),
    [
        ("Host-7.example", "host-7.example"),
        ("my_host", "my-host"),
        ("-x-" + "a" * 70, "x-" + "a" * 60),
        ("__", "node"),
    ],
)
def test_the_nodes_name_is_the_hosts_as_far_as_a_node_can_have_it(
    monkeypatch: pytest.MonkeyPatch, host: str, node: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)

    assert Kubernetes().node == node


def test_the_example_shows_the_defaults() -> None:
    assert load(EXAMPLE) == Settings()


def test_the_example_mentions_every_setting() -> None:
    text = EXAMPLE.read_text()

    for setting in (*fields(Settings), *fields(Deadlines), *fields(Kubernetes)):
        assert f"{setting.name}:" in text, setting.name


def test_the_examples_commented_socket_is_the_default_one(write: WriteConfig) -> None:
    text = EXAMPLE.read_text()
    assert "# socket: " in text

    assert load(write(text.replace("# socket: ", "socket: "))).socket == Settings().listen
