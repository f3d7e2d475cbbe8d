"""Docker Compose: the example that users are shown, and what becomes of each key about networks."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from lab.engine import Engine
from lab.footprint import engine_footprint

from tests.e2e.containers import inside, inspected
from tests.e2e.flags import COMPOSE, Verdict, flag, honoured, impossible, refused
from tests.e2e.publishing import endpoints, get, serve

Eventually = Callable[..., None]

_EXAMPLE = (Path(__file__).resolve().parents[2] / "examples/compose/compose.yaml").read_text()
_MAC = "02:00:00:00:00:77"
_OUTSIDE = "192.0.2.1"
"""An address of the room, which no network of a container has."""


@pytest.fixture(autouse=True)
def down(engine: Engine) -> Iterator[None]:
    """What a test has started is gone before anything is looked for that it may have left."""
    engine.run(["ip", "address", "add", f"{_OUTSIDE}/32", "dev", "lo"])
    yield
    engine.run(["ip", "address", "del", f"{_OUTSIDE}/32", "dev", "lo"])
    engine.compose(_EXAMPLE, "down", "--remove-orphans")


@pytest.fixture
def example(engine: Engine) -> str:
    """The example, started."""
    engine.compose(_EXAMPLE, "up", "--detach")
    return _EXAMPLE


# The example


@pytest.mark.usefixtures("example")
def test_the_example_does_what_its_comments_say(engine: Engine, eventually: Eventually) -> None:
    web, app, watch = (_one(engine, service) for service in ("web", "app", "watch"))

    shown = inside(engine, web, "ip address")
    assert "inet 10.89.0.10/24 " in shown
    assert "link/ether 02:00:00:00:00:10 " in shown
    assert inspected(engine, web, "lab_front")["IPAddress"] == "10.89.0.10"

    page = inside(engine, app, "hostname").strip()
    eventually(lambda: get(engine, "127.0.0.1:8080") == page)  # through the published port, from the app
    eventually(lambda: get(engine, "10.89.0.10") == page)
    eventually(lambda: page in engine.docker("logs", watch).stdout)  # by the alias
    inside(engine, web, f"ping -c 1 {_OUTSIDE}")

    assert "default" not in inside(engine, app, "ip route")
    unreachable = engine.docker("exec", app, "ping", "-c", "1", "-W", "1", _OUTSIDE, check=False)
    assert "Network is unreachable" in unreachable.stderr
    assert "8080->80/tcp" in engine.run(engine.shim_command("endpoint", "ls")).stdout


def test_a_service_is_scaled_up_and_down_with_addresses_and_a_name_for_all(
    engine: Engine, example: str, eventually: Eventually
) -> None:
    engine.compose(example, "up", "--detach", "--scale", "app=3")
    apps = _names(engine, "app")
    addresses = {inspected(engine, name, "lab_back")["IPAddress"] for name in apps}
    assert len(apps) == len(addresses) == 3
    found = inside(engine, _one(engine, "web"), "nslookup app 127.0.0.11")
    assert {address for address in addresses if f"Address: {address}\n" in found} == addresses
    for address in addresses:
        inside(engine, _one(engine, "web"), f"ping -c 1 {address}")

    engine.compose(example, "up", "--detach", "--scale", "app=1")
    eventually(lambda: len(_endpoints_of(engine, "cni-routed")) == 2)  # app and web
    eventually(
        lambda: get(engine, "127.0.0.1:8080") == inside(engine, _one(engine, "app"), "hostname").strip()
    )


@pytest.mark.parametrize(
    "command", [["restart", "-t", "0"], ["up", "--detach", "--force-recreate", "--no-deps"]]
)
def test_a_service_that_is_started_again_has_its_address_and_its_port(
    engine: Engine, example: str, eventually: Eventually, command: list[str]
) -> None:
    before = {endpoint["id"] for endpoint in endpoints(engine)}
    engine.compose(example, *command, "web")
    assert len({endpoint["id"] for endpoint in endpoints(engine)} - before) == 2
    assert "inet 10.89.0.10/24 " in inside(engine, _one(engine, "web"), "ip address")
    page = inside(engine, _one(engine, "app"), "hostname").strip()
    eventually(lambda: get(engine, "127.0.0.1:8080") == page)


def test_down_leaves_nothing(engine: Engine, eventually: Eventually) -> None:
    before = engine_footprint(engine)
    engine.compose(_EXAMPLE, "up", "--detach", "--scale", "app=2")
    leases = {"10.89.0.10", "10.89.1."}
    assert all(any(lease in line for line in before.difference(engine_footprint(engine))) for lease in leases)

    engine.compose(_EXAMPLE, "down")

    eventually(lambda: before.difference(engine_footprint(engine)) == [])
    assert engine.docker("ps", "--all", "--quiet").stdout == ""
    assert engine.docker("network", "ls", "--quiet", "--filter", "driver=cni").stdout == ""


# Networks


@flag(COMPOSE, "networks.NET.driver_opts", honoured("the options of the network, as `-o`"))
def test_driver_opts_are_the_options_of_the_network(engine: Engine) -> None:
    _up(engine, _file({"driver_opts": {"cni.network": "cni-bridge", "cni.args.LEVEL": "High"}}))
    _is_in(engine, "10.89.0.")
    (shown,) = endpoints(engine)
    assert shown["cniArgs"]["LEVEL"] == "High"


@flag(
    COMPOSE,
    "networks.NET.driver_opts, an unknown one",
    refused("option cni.netwrk: unknown to the CNI driver (did you mean cni.network?)"),
)
def test_a_driver_opt_that_is_not_understood_is_refused(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(_try(engine, _file({"driver_opts": {"cni.netwrk": "cni-bridge"}})))


@flag(COMPOSE, "networks.NET.ipam.driver: cni", honoured("Docker asks the conflist's IPAM plugin"))
def test_the_ipam_driver_asks_the_conflists_plugin(engine: Engine) -> None:
    _up(engine, _file(_network(subnets=["10.89.0.0/24"])))
    address = inspected(engine, _one(engine, "one"), "lab_net")["IPAddress"]
    _is_in(engine, "10.89.0.")
    assert address in engine.run(["ls", "/var/lib/cni/networks/cni-bridge"]).stdout.split()
    (made,) = json.loads(engine.docker("network", "inspect", "lab_net").stdout)
    assert made["IPAM"]["Driver"] == "cni"
    assert made["IPAM"]["Config"][0]["Subnet"] == "10.89.0.0/24"


@flag(
    COMPOSE,
    "networks.NET.ipam.config.subnet, another one",
    refused("--subnet 10.88.0.0/24 differs from the subnet of CNI network cni-bridge, 10.89.0.0/24"),
)
def test_a_subnet_that_is_not_the_conflists_is_refused(engine: Engine, verdict: Verdict) -> None:
    verdict.refuses(_try(engine, _file(_network(subnets=["10.88.0.0/24"]))))


@flag(
    COMPOSE,
    "networks.NET.ipam.options",
    old=honoured("as `--ipam-opt`"),
    new=impossible("docker compose 2 drops them, and the network's own name is looked for: use driver_opts"),
)
def test_ipam_options_name_the_network_where_compose_passes_them_on(engine: Engine, verdict: Verdict) -> None:
    ipam = {"driver": "cni", "options": {"cni.network": "cni-bridge"}, "config": [{"subnet": "10.89.0.0/24"}]}
    run = _try(engine, _file({"ipam": ipam}))
    if verdict.kind == "impossible":
        assert run.returncode != 0
        assert 'no CNI network "lab_net"' in run.stderr
    else:
        assert run.returncode == 0, run.stderr
        _is_in(engine, "10.89.0.")


@flag(COMPOSE, "networks.NET.internal", honoured("no default route, no masquerade, no published ports"))
def test_an_internal_network_has_no_way_out(engine: Engine, eventually: Eventually) -> None:
    _up(engine, _file({**_network(), "internal": True}, ports=["8080:80"]))
    one = _one(engine, "one")
    assert "default" not in inside(engine, one, "ip route")
    ping = engine.docker("exec", one, "ping", "-c", "1", "-W", "1", _OUTSIDE, check=False)
    assert "Network is unreachable" in ping.stderr
    address = inspected(engine, one, "lab_net")["IPAddress"]
    eventually(lambda: get(engine, address) == "served")
    assert get(engine, "127.0.0.1:8080") == ""
    assert endpoints(engine)[0]["portMappings"] == []


# Services on networks


@flag(
    COMPOSE,
    "services.NAME.networks.NET.ipv4_address",
    honoured("that address, with `ipam.driver: cni` and a subnet"),
)
def test_a_service_has_the_ipv4_address_it_asks_for(engine: Engine, eventually: Eventually) -> None:
    _up(engine, _file(_network(subnets=["10.89.0.0/24"]), on_network={"ipv4_address": "10.89.0.77"}))
    assert "inet 10.89.0.77/24 " in inside(engine, _one(engine, "one"), "ip address")
    eventually(lambda: get(engine, "10.89.0.77") == "served")


@flag(
    COMPOSE,
    "services.NAME.networks.NET.ipv4_address, a taken one",
    refused("requested IP address 10.89.0.77 is not available"),
)
def test_an_ipv4_address_that_is_taken_is_refused(
    engine: Engine, verdict: Verdict, eventually: Eventually
) -> None:
    engine.docker("network", "create", "-d", "cni", "--ipam-driver", "null", "cni-bridge")
    serve(engine, "other", "name=cni-bridge,driver-opt=cni.ips=10.89.0.77")
    file = _file(_network(subnets=["10.89.0.0/24"]), on_network={"ipv4_address": "10.89.0.77"})
    verdict.refuses(_try(engine, file))
    eventually(lambda: get(engine, "10.89.0.77") == "served-by-other")


@flag(
    COMPOSE,
    "services.NAME.networks.NET.ipv6_address",
    honoured("that address, with `enable_ipv6`, `ipam.driver: cni` and both subnets"),
)
def test_a_service_has_the_ipv6_address_it_asks_for(engine: Engine, eventually: Eventually) -> None:
    net = _network("cni-dual", ["10.89.4.0/24", "fd00:89:4::/64"])
    addresses = {"ipv4_address": "10.89.4.77", "ipv6_address": "fd00:89:4::77"}
    _up(engine, _file({**net, "enable_ipv6": True}, on_network=addresses))
    shown = inside(engine, _one(engine, "one"), "ip address")
    assert "inet 10.89.4.77/24 " in shown
    assert "inet6 fd00:89:4::77/64 " in shown
    eventually(lambda: get(engine, "[fd00:89:4::77]") == "served")


@flag(COMPOSE, "services.NAME.networks.NET.aliases", honoured("further names of the service on that network"))
def test_aliases_are_names_of_a_service(engine: Engine) -> None:
    _up(engine, _file(_network(), on_network={"aliases": ["www", "site"]}))
    for name in ("one", "www", "site"):
        engine.docker("run", "--rm", "--network", "lab_net", "busybox", "ping", "-c", "1", name)


@flag(
    COMPOSE,
    "services.NAME.networks.NET.driver_opts",
    old=refused("services.one.networks.net contains unsupported option: 'driver_opts'"),
    new=honoured("the options of the endpoint, as `driver-opt=`; keys of cni.args keep their letters"),
)
def test_a_service_has_options_of_its_own_where_compose_knows_them(engine: Engine, verdict: Verdict) -> None:
    options = {"cni.ips": "10.89.0.77", "cni.args.Level": "High"}
    file = _file(_network(), on_network={"driver_opts": options})
    if verdict.kind == "refused":
        verdict.refuses(_try(engine, file))
        return
    _up(engine, file)
    assert "inet 10.89.0.77/24 " in inside(engine, _one(engine, "one"), "ip address")
    assert endpoints(engine)[0]["cniArgs"]["Level"] == "High"


@flag(
    COMPOSE,
    "services.NAME.networks.NET.mac_address",
    old=refused("services.one.networks.net contains unsupported option: 'mac_address'"),
    new=honoured("the MAC address on that network"),
)
def test_a_service_has_a_mac_address_on_a_network_where_compose_knows_it(
    engine: Engine, verdict: Verdict
) -> None:
    file = _file(_network(), on_network={"mac_address": _MAC})
    if verdict.kind == "refused":
        verdict.refuses(_try(engine, file))
        return
    _up(engine, file)
    _has_mac(engine)


@flag(COMPOSE, "services.NAME.mac_address", honoured("the MAC address on the service's first network"))
def test_a_service_has_the_mac_address_it_asks_for(engine: Engine) -> None:
    _up(engine, _file(_network(), mac_address=_MAC))
    _has_mac(engine)


@flag(COMPOSE, "services.NAME.ports", honoured("published by the chain; see them by `cnm-cni endpoint ls`"))
def test_ports_of_a_service_are_published(engine: Engine, eventually: Eventually) -> None:
    _up(engine, _file(_network(), ports=["8080:80", "127.0.0.1:8081:80"]))
    eventually(lambda: get(engine, "127.0.0.1:8080") == "served")
    assert get(engine, "127.0.0.1:8081") == "served"
    assert get(engine, f"{_OUTSIDE}:8080") == "served"
    assert get(engine, f"{_OUTSIDE}:8081") == ""


def _network(cni_network: str = "cni-bridge", subnets: list[str] | None = None) -> dict[str, Any]:
    """A network, on which Docker asks our IPAM driver for addresses if it has subnets."""
    config = {"driver": "cni", "config": [{"subnet": subnet} for subnet in subnets]} if subnets else None
    return {"driver_opts": {"cni.network": cni_network}, "ipam": config or {"driver": "null"}}


def _file(network: dict[str, Any], *, on_network: dict[str, Any] | None = None, **members: Any) -> str:
    """A compose file of one service on one network; JSON is YAML."""
    service = {
        "image": "busybox",
        "command": ["sh", "-c", "echo served > index.html; exec httpd -f -p [::]:80"],
        "stop_signal": "KILL",
        "networks": {"net": on_network or {}},
        **members,
    }
    networks = {"net": {"driver": "cni", "ipam": {"driver": "null"}} | network}
    return json.dumps({"services": {"one": service}, "networks": networks})


def _try(engine: Engine, file: str) -> CompletedProcess[str]:
    return engine.compose(file, "up", "--detach", check=False)


def _up(engine: Engine, file: str) -> None:
    engine.compose(file, "up", "--detach")


def _names(engine: Engine, service: str) -> list[str]:
    """The running containers of a service."""
    label = f"label=com.docker.compose.service={service}"
    return engine.docker("ps", "--filter", label, "--format", "{{.Names}}").stdout.split()


def _one(engine: Engine, service: str) -> str:
    (name,) = _names(engine, service)
    return name


def _is_in(engine: Engine, subnet: str) -> None:
    assert f"inet {subnet}" in inside(engine, _one(engine, "one"), "ip address show eth0")


def _has_mac(engine: Engine) -> None:
    one = _one(engine, "one")
    assert f"link/ether {_MAC} " in inside(engine, one, "ip link show eth0")
    assert inspected(engine, one, "lab_net")["MacAddress"] == _MAC


def _endpoints_of(engine: Engine, cni_network: str) -> list[str]:
    return [item["id"] for item in endpoints(engine) if item["cniNetwork"] == cni_network]
