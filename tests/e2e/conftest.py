"""Real engines with the shim beside them, and the proof that no test leaves anything behind."""

import itertools
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from lab import newest
from lab.cluster import SERVER, Cluster
from lab.engine import Engine
from lab.footprint import Footprint, engine_footprint, host_footprint, plugin_bridges
from xdist.scheduler import LoadScopeScheduling

from tests.clusters import NODE, definition, ready_cluster
from tests.e2e.flags import Verdict, rendered, rows
from tests.e2e.matrix import page
from tests.e2e.matrix.columns import NEW_PLUGINS, PLUGINS
from tests.outcomes import Outcomes

_REPOSITORY = Path(__file__).resolve().parents[2]

_SETTLING = 10.0
"""Seconds an engine may take to finish what it does after it has answered."""

_LOG_LINES = 40

_ENGINE = re.compile(r"\[(20\.10|newest).*\]$")
"""The engine among the parameters of a test."""

_ADDRESSES = itertools.count(11)
"""The last parts of the engines' addresses on the cluster's LAN."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--flag-table", type=Path, help="write the table of docker's flags to this file")
    parser.addoption(
        "--fidelity-table", type=Path, help="write the table of what containers get to this file"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "flag(command, name, verdicts): what becomes of a flag of docker")
    config.pluginmanager.register(
        Outcomes(
            "flag_table",
            lambda outcomes: rendered(rows(), outcomes),
            lambda test: _ENGINE.sub(r"[\1]", test.rpartition("tests/e2e/")[2]),
        )
    )
    config.pluginmanager.register(
        Outcomes("fidelity_table", page.rendered, lambda test: test[test.find("[") :])
    )


class _ByEngine(LoadScopeScheduling):
    """All tests of one engine run in one process when there are several, and so do the others of a file."""

    def _split_scope(self, nodeid: str) -> str:
        engine = _ENGINE.search(nodeid)
        return engine[1] if engine else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByEngine:
    return _ByEngine(config, log)


@pytest.fixture
def verdict(request: pytest.FixtureRequest, session_engine: Engine) -> Verdict:  # noqa: ARG001 - its parameter
    """What the test's flag mark says of the engine it runs on."""
    mark = request.node.get_closest_marker("flag")
    found: Verdict = mark.args[2][request.node.callspec.params["session_engine"]]
    return found


@pytest.fixture(scope="session")
def host_before() -> Footprint:
    """The machine before any private engine was started."""
    return host_footprint()


@pytest.fixture(scope="session")
def conf_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the conflists of tests, read by the shim besides `cni_conf/`."""
    return tmp_path_factory.mktemp("conflists")


@pytest.fixture(scope="session", params=["20.10", "newest"])
def session_engine(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    conf_dir: Path,
    host_before: Footprint,
) -> Iterator[Engine]:
    """Each engine in turn, with its image and the shim."""
    make = {"20.10": Engine.debian, "newest": Engine.newest}[request.param]
    with make(tmp_path_factory.mktemp("engine") / "disk") as engine:
        engine.import_image()
        engine.start_shim(_conf_dirs(conf_dir))
        yield engine
    assert host_before.difference(host_footprint()) == []


@pytest.fixture
def engine(session_engine: Engine, conf_dir: Path) -> Iterator[Engine]:
    """A running engine with the shim; what the test makes is removed, and must leave no trace."""
    before = engine_footprint(session_engine)
    try:
        yield session_engine
    finally:
        _restart_what_is_down(session_engine, conf_dir)
        _remove_everything(session_engine)
    deadline = time.monotonic() + _SETTLING
    while leaks := before.difference(engine_footprint(session_engine)):
        if time.monotonic() > deadline:
            pytest.fail("\n".join(leaks))
        time.sleep(0.1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Show the end of both daemons' logs with a failure."""
    report = yield
    engine = getattr(item, "funcargs", {}).get("session_engine")
    if report.failed and engine:
        for log in filter(Path.exists, (engine.dockerd_log, engine.shim_log)):  # gone with the engine
            lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
            report.sections.append((f"end of {log.name}", "\n".join(lines)))
    return report


def _conf_dirs(conf_dir: Path) -> list[Path]:
    return [_REPOSITORY / "cni_conf", conf_dir]


def _restart_what_is_down(engine: Engine, conf_dir: Path) -> None:
    if not engine.is_shim_running:
        engine.start_shim(_conf_dirs(conf_dir))
    if not engine.is_dockerd_running:
        engine.start_dockerd()


def _remove_everything(engine: Engine) -> None:
    containers = engine.docker("ps", "--all", "--quiet").stdout.split()
    if containers:
        engine.docker("rm", "--force", "--volumes", *containers)
    networks = engine.docker("network", "ls", "--quiet", "--filter", "type=custom").stdout.split()
    if networks:
        removed = engine.docker("network", "rm", *networks, check=False)
        if "has active endpoints" in removed.stderr:
            _let_it_count_again(engine)
            engine.docker("network", "prune", "--force")
    for bridge in plugin_bridges(engine):  # the plugin lets them stand, and with them their subnets
        engine.run(["ip", "link", "del", bridge])


def _let_it_count_again(engine: Engine) -> None:
    """Restart the engine, which counts the endpoints of its networks anew when it starts.

    20.10 writes down a wrong count, once in thousands of containers that start and stop at once on any
    driver (libnetwork's endpoint_cnt.go changes it, lets go of the lock and then stores it), and keeps a
    network that nobody uses. What the shim still knows of is no such case.
    """
    if not any("endpoint" in row for row in engine_footprint(engine).rows):
        engine.stop_dockerd()
        engine.start_dockerd()


@pytest.fixture
def start_shim(engine: Engine, conf_dir: Path) -> Callable[..., None]:
    """Starts the shim as it was before, but for these settings."""
    return lambda **settings: engine.start_shim(_conf_dirs(conf_dir), **settings)


@pytest.fixture
def plugins(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes plugins that reality cannot produce on demand; the folder they are in."""
    folder = tmp_path / "plugins"
    folder.mkdir()

    def write(name: str, script: str) -> Path:
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
        return folder

    return write


@pytest.fixture
def restart_shim(engine: Engine, start_shim: Callable[..., None]) -> Iterator[Callable[..., None]]:
    """Restarts the shim with other settings, until the end of the test."""

    def restart(**settings: Any) -> None:
        engine.stop_shim()
        start_shim(**settings)

    yield restart
    restart()


@pytest.fixture
def web(engine: Engine) -> str:
    """A Docker network that is the shipped CNI network with bridge, portmap and firewall."""
    return make_network(engine, "web", "cni-bridge")


@pytest.fixture
def make(engine: Engine) -> Callable[[str, str], str]:
    """Makes a Docker network of that name on a CNI network of that name, and returns the former."""
    return lambda name, cni_network: make_network(engine, name, cni_network)


@pytest.fixture
def conflist(conf_dir: Path) -> Iterator[Callable[..., str]]:
    """Writes a conflist of that name with those plugins where the shim looks, for one test."""
    written: list[Path] = []

    def write(name: str, *plugins: Mapping[str, Any], version: str = "1.0.0") -> str:
        path = conf_dir / f"{name}.conflist"
        path.write_text(json.dumps({"cniVersion": version, "name": name, "plugins": plugins}))
        written.append(path)
        return name

    yield write
    for path in written:
        path.unlink(missing_ok=True)


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Waits until a condition holds; fails when it does not `within` the seconds it may take."""

    def wait(condition: Callable[[], bool], *, within: float = _SETTLING) -> None:
        deadline = time.monotonic() + within
        while not condition():
            assert time.monotonic() < deadline, "it never came to hold"
            time.sleep(0.1)

    return wait


def make_network(engine: Engine, name: str, cni_network: str) -> str:
    """Make a Docker network on a CNI network; its name."""
    option = f"cni.network={cni_network}"
    engine.docker("network", "create", "-d", "cni", "--ipam-driver", "null", "-o", option, name)
    return name


# Kubernetes


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, host_before: Footprint) -> Iterator[Cluster]:
    """A running cluster, which has a node."""
    with ready_cluster(tmp_path_factory.mktemp("cluster") / "disk") as cluster:
        yield cluster
    assert host_before.difference(host_footprint()) == []


@pytest.fixture(scope="session")
def node_settings(
    session_engine: Engine, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The settings by which the engine's shim is a node, with a link to the cluster's LAN."""
    cluster.join(session_engine.pid, f"192.0.2.{next(_ADDRESSES)}/24")
    token_file = tmp_path_factory.mktemp("node") / "token"
    token_file.write_text(cluster.token("cnm-cni", NODE))
    return {
        "server": SERVER,
        "token_file": str(token_file),
        "ca_file": str(cluster.authority.certificate),
        "node": NODE,
        "heartbeat": 1,
        "status_interval": 0.5,
    }


@pytest.fixture(scope="module")
def node_shim(session_engine: Engine, conf_dir: Path, node_settings: dict[str, Any]) -> Iterator[None]:
    """The shim is a node as long as a module of tests runs."""
    session_engine.stop_shim()
    session_engine.start_shim(_conf_dirs(conf_dir), kubernetes=node_settings)
    yield
    session_engine.stop_shim()
    session_engine.start_shim(_conf_dirs(conf_dir))


@pytest.fixture(scope="module", params=PLUGINS)
def plugin_path(
    request: pytest.FixtureRequest,
    session_engine: Engine,
    conf_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Path]:
    """The folder of a set of plugins, which the shim runs as long as a module of tests runs."""
    path = Path("/usr/lib/cni")
    if request.param == NEW_PLUGINS:
        path = newest.plugins(newest.root(), tmp_path_factory.mktemp("newest") / "plugins")
    session_engine.stop_shim()
    session_engine.start_shim(_conf_dirs(conf_dir), plugin_path=[str(path)])
    yield path
    session_engine.stop_shim()
    session_engine.start_shim(_conf_dirs(conf_dir))


@pytest.fixture
def nothing_in_kubernetes(cluster: Cluster) -> Iterator[None]:
    """What a test made there is removed; what the node wrote must go by itself, with its networks."""
    yield
    deadline = time.monotonic() + _SETTLING
    while left := cluster.kubectl("get", "dnet", "-A", "-o", "name"):
        if time.monotonic() > deadline:
            cluster.kubectl("delete", "dnet", "--all", "-A")
            pytest.fail(f"left behind in Kubernetes: {left}")
        time.sleep(0.1)
    cluster.kubectl("delete", "net-attach-def", "--all", "-A")


@pytest.fixture
def node(node_shim: None, nothing_in_kubernetes: None, engine: Engine) -> Engine:  # noqa: ARG001 - in this order
    """An engine whose shim is a node of the cluster."""
    return engine


@pytest.fixture
def restart_node(
    node: Engine, conf_dir: Path, node_settings: dict[str, Any]
) -> Iterator[Callable[..., None]]:
    """Restarts the node's shim with other Kubernetes settings, flags or environment, for one test."""

    def restart(*flags: str, environment: Mapping[str, str] | None = None, **kubernetes: Any) -> None:
        if node.is_shim_running:
            node.stop_shim()
        settings = {key: value for key, value in (node_settings | kubernetes).items() if value is not None}
        node.start_shim(_conf_dirs(conf_dir), flags=flags, environment=environment, kubernetes=settings)

    yield restart
    restart()


@pytest.fixture
def define(cluster: Cluster) -> Callable[[str, str, object], None]:
    """Makes or changes a NetworkAttachmentDefinition; its configuration is text or JSON, or empty."""
    return lambda namespace, name, config: cluster.apply(definition(namespace, name, config))
