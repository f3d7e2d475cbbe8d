"""The other nodes of a cluster, as far as the API server can tell.

Runs inside the room: `python fleet_inside.py KUBECONFIG NODES NETWORKS DEFINITIONS` writes what they have
there. With `churn RATE SECONDS` behind that, it changes so many statuses a second for so long, and prints how
many in all.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from shim.kube.access import Kubeconfig
from shim.kube.client import Client
from tests.fleet import Fleet


async def main() -> None:
    """Do what was asked for."""
    kubeconfig, nodes, networks, definitions, *churn = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        client = Client(Kubeconfig((Path(kubeconfig),)), Path(scratch))
        fleet = Fleet(client, size=int(nodes), networks=int(networks))
        if churn:
            _, rate, seconds = churn
            sys.stdout.write(str(await fleet.churn(float(rate), float(seconds))))
        else:
            await fleet.write_definitions(int(definitions))
            await fleet.write()
        await client.close()


if __name__ == "__main__":
    asyncio.run(main())
