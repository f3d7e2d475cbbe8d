"""How many plugins run for a container: with our IPAM driver one more at its start, and one at its end."""

from collections.abc import Callable
from pathlib import Path

import pytest
from lab.engine import Engine

from tests.plugin_runs import CountedPlugins

_CHAIN = ("bridge", "portmap", "firewall")


@pytest.fixture
def plugins_counted(engine: Engine, restart_shim: Callable[..., None], tmp_path: Path) -> CountedPlugins:
    """The plugins of the shim, until the end of the test."""
    counted = CountedPlugins(engine, tmp_path / "counted")
    restart_shim(plugin_path=[str(counted.folder)])
    return counted


def test_the_ipam_driver_costs_one_run_of_the_ipam_plugin_at_the_start_and_one_at_the_end(
    engine: Engine, web: str, plugins_counted: CountedPlugins
) -> None:
    engine.docker(
        *("network", "create", "-d", "cni", "--ipam-driver", "cni", "--ipam-opt", "cni.network=cni-bridge"),
        *("-o", "cni.network=cni-bridge", "--subnet", "10.89.0.0/24", "fixed"),
    )

    alone = plugins_counted.of_container(web)
    with_driver = plugins_counted.of_container("fixed")

    assert sorted(alone.start) == sorted(f"{plugin} ADD" for plugin in (*_CHAIN, "host-local"))
    assert sorted(alone.end) == sorted(f"{plugin} DEL" for plugin in (*_CHAIN, "host-local"))
    assert with_driver.start.count("host-local ADD") == 1
    assert len(with_driver.start) <= len(alone.start) + 1
    assert with_driver.end.count("host-local DEL") == 1
    assert len(with_driver.end) <= len(alone.end) + 1
