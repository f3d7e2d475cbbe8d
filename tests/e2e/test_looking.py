"""`cnm-cni network` and `cnm-cni endpoint` beside a running daemon, and after it."""

import json
import re
from collections.abc import Callable

from lab.engine import Engine

Make = Callable[[str, str], str]


def test_networks_are_listed_with_their_docker_and_their_cni_name(
    engine: Engine, web: str, make: Make
) -> None:
    make("other", "cni-ptp")
    engine.docker("run", "-d", "--name", "one", "--network", web, "busybox", "sleep", "600")
    listed = _cnm_cni(engine, "network", "ls")
    assert re.search(r"^NETWORK ID +NAME +CNI NETWORK +ENDPOINTS$", listed, re.MULTILINE)
    assert re.search(r"^[0-9a-f]{12} +web +cni-bridge +1$", listed, re.MULTILINE)
    assert re.search(r"^[0-9a-f]{12} +other +cni-ptp +0$", listed, re.MULTILINE)


def test_an_endpoint_is_shown_with_all_that_docker_and_the_plugins_know(engine: Engine, web: str) -> None:
    engine.docker(
        *("run", "-d", "--name", "one", "--network", web, "-p", "8080:80", "busybox", "sleep", "600"),
    )
    (inspected,) = json.loads(engine.docker("inspect", "one").stdout)
    settings = inspected["NetworkSettings"]["Networks"][web]
    shown = json.loads(_cnm_cni(engine, "endpoint", "show", settings["EndpointID"][:7], "--json"))
    assert shown["id"] == settings["EndpointID"]
    assert shown["network"] == {"id": settings["NetworkID"], "name": web}
    assert shown["cniNetwork"] == "cni-bridge"
    assert shown["container"] == "one"
    assert shown["addresses"] == [f"{settings['IPAddress']}/{settings['IPPrefixLen']}"]
    assert shown["gateways"] == [settings["Gateway"]]
    assert shown["mac"] == settings["MacAddress"]
    assert shown["state"] == "joined"
    assert shown["sandbox"] == inspected["NetworkSettings"]["SandboxKey"]
    assert shown["portMappings"] == [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
    assert shown["lastError"] == ""


def test_a_renamed_container_is_listed_under_its_new_name(engine: Engine, web: str) -> None:
    engine.docker("run", "-d", "--name", "one", "--network", web, "busybox", "sleep", "600")
    engine.docker("rename", "one", "two")
    assert " two " in _cnm_cni(engine, "endpoint", "ls")


def test_looking_needs_neither_the_daemon_nor_the_engine(engine: Engine, web: str) -> None:
    engine.docker("run", "-d", "--name", "one", "--network", web, "busybox", "sleep", "600")
    engine.stop_shim()
    assert " joined " in _cnm_cni(engine, "endpoint", "ls")


def _cnm_cni(engine: Engine, *arguments: str) -> str:
    return engine.run(engine.shim_command(*arguments)).stdout
