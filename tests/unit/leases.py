"""An IPAM plugin of a few lines: `host-local` as far as it matters to those who run it."""

import sys
from typing import Any

from shim.cni.exec import Exec
from shim.cni.runtime import Runtime
from shim.model import JSONObject
from tests.unit.cni.scripted import ScriptedPlugins

_PLUGIN = """
import json, os, pathlib, sys

def fail(text):
    print(json.dumps({"cniVersion": "1.0.0", "code": 100, "msg": text}))
    sys.exit(1)

folder = pathlib.Path(sys.argv[1])
if (folder.parent / "broken").exists():
    fail("device busy")
container = os.environ["CNI_CONTAINERID"]
if os.environ["CNI_COMMAND"] == "DEL":
    for lease in folder.iterdir():
        if lease.read_text() == container:
            lease.unlink()
if os.environ["CNI_COMMAND"] == "ADD":
    request = json.loads(sys.argv[2])
    ips = []
    for (part,) in request["ipam"]["ranges"]:
        network, _, length = part["subnet"].partition("/")
        prefix = network.removesuffix(".0").removesuffix("::") + ("::" if ":" in network else ".")
        wanted = [ip for ip in request.get("runtimeConfig", {}).get("ips", []) if ip.startswith(prefix)]
        for address in wanted or [f"{prefix}{n}/{length}" for n in range(2, 200)]:
            try:
                with (folder / address.partition("/")[0]).open("x") as lease:
                    lease.write(container)
                break
            except FileExistsError:
                continue
        else:
            fail(f"requested IP address {address} is not available")
        ips.append({"address": address, "gateway": f"{prefix}1"})
    print(json.dumps({"cniVersion": "1.0.0", "ips": ips, "routes": [{"dst": "0.0.0.0/0"}]}))
"""

HOST_LOCAL: JSONObject = {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}]]}
DUAL: JSONObject = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]],
}


def conflist(
    section: JSONObject = HOST_LOCAL, *others: JSONObject, name: str = "web", kind: str = "bridge"
) -> dict[str, Any]:
    """A conflist whose first plugin has that IPAM section."""
    plugins = [{"type": kind} | ({"ipam": section} if section else {}), *others]
    return {"cniVersion": "1.0.0", "name": name, "plugins": plugins}


def runtime(plugins: ScriptedPlugins) -> Runtime:
    """A runtime of those plugins alone."""
    return Runtime(Exec(lambda *_: None), [plugins.folder], add_deadline=10.0, delete_deadline=10.0)


class Leases:
    """The addresses that the scripted `host-local` has given and not got back."""

    def __init__(self, plugins: ScriptedPlugins) -> None:
        self._folder = plugins.folder.parent / "leases"
        self._folder.mkdir()
        script = plugins.folder.parent / "host-local.py"
        script.write_text(_PLUGIN)
        plugins.write("host-local", f'exec {sys.executable} -ISE "{script}" "{self._folder}" "$request"')

    @property
    def given(self) -> dict[str, str]:
        """The container ID that each address was given to."""
        return {lease.name: lease.read_text() for lease in sorted(self._folder.iterdir())}

    @property
    def addresses(self) -> set[str]:
        """The addresses without prefix length."""
        return set(self.given)

    def fail(self, *, now: bool = True) -> None:
        """Let every call fail from now on, or work again."""
        broken = self._folder.parent / "broken"
        broken.touch() if now else broken.unlink()

    def take(self, address: str) -> None:
        """Let somebody else have the address."""
        (self._folder / address).write_text("somebody else")
