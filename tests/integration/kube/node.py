"""A shim with real plugins and a real cluster in this process; only its engine is a stand-in."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.cluster import SERVER, Cluster

from shim.config import Kubernetes, Settings
from shim.driver import Driver
from shim.model import EndpointID, NetworkID
from shim.parts import assembled
from shim.wire import messages as m
from tests.unit.standins import EngineStandIn

BRIDGE: dict[str, Any] = {
    "type": "bridge",
    "bridge": "kube0",
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.66.0.0/24"}]]},
}


class Node:
    """The shim of one node; `folder` is its disk, `token` the file of its credentials."""

    def __init__(self, cluster: Cluster, folder: Path, token: Path, name: str, **kubernetes: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.engine = EngineStandIn(folder / "docker.sock")
        self.engine.id = f"engine of {name}"
        self.conf_dir = folder / "net.d"
        self.conf_dir.mkdir(exist_ok=True)
        conflist = {"cniVersion": "1.0.0", "name": "web", "plugins": [BRIDGE]}
        (self.conf_dir / "web.conflist").write_text(json.dumps(conflist))
        ours = Kubernetes(
            server=SERVER,
            token_file=token,
            ca_file=cluster.authority.certificate,
            node=name,
            heartbeat=0.5,
            forget_after=4.0,
            status_interval=0.2,
        )
        self.settings = Settings(
            plugin_path=(Path("/usr/lib/cni"),),
            conf_dirs=(self.conf_dir,),
            state_dir=folder / "state",
            run_dir=folder / "run",
            docker_socket=self.engine.socket,
            kubernetes=replace(ours, **kubernetes),
        )
        self._driver: Driver | None = None

    @property
    def driver(self) -> Driver:
        """The running driver."""
        assert self._driver
        return self._driver

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Node"]:
        """The node as long as its shim and its engine run."""
        await self.engine.start()
        try:
            async with assembled(self.settings) as (self._driver, _, works):
                tasks = [asyncio.create_task(work(), name=name) for name, work in works.items()]
                try:
                    yield self
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
                    for endpoint in await self.driver._store.endpoints():
                        await self.driver.remove(endpoint.id)
        finally:
            await self.engine.stop()

    async def make_network(self, network_id: str, name: str, **options: str) -> None:
        """As `docker network create`; the options are those of `cni.`."""
        given = {f"cni.{key}": value for key, value in options.items()}
        request = m.CreateNetworkRequest(NetworkID(network_id), given, internal=False, pools=())
        await self.driver.create_network(request)
        self.engine.add(network_id, name)
        self.engine.networks[network_id]["Options"] = given

    async def remove_network(self, network_id: str) -> None:
        """As `docker network rm`."""
        await self.driver.delete_network(m.NetworkRequest(NetworkID(network_id)))
        del self.engine.networks[network_id]

    async def start_container(self, network_id: str, endpoint_id: str, name: str) -> str:
        """As `docker run`; the container's address."""
        about = NetworkID(network_id), EndpointID(endpoint_id)
        created = await self.driver.create_endpoint(m.CreateEndpointRequest(*about, "", "", "", (), {}))
        entry = {"Name": name, "EndpointID": endpoint_id}
        self.engine.networks[network_id]["Containers"][f"ep-{endpoint_id}"] = entry
        await self.driver.join(m.JoinRequest(*about, f"/run/netns-of-{name}"))
        return created.address

    async def stop_container(self, network_id: str, endpoint_id: str) -> None:
        """As the end of a container."""
        about = m.EndpointRequest(NetworkID(network_id), EndpointID(endpoint_id))
        await self.driver.leave(about)
        await self.driver.delete_endpoint(about)
        del self.engine.networks[network_id]["Containers"][f"ep-{endpoint_id}"]
