"""Chains of scripted plugins and a runtime to run them: what the tests of all sections start from."""

from typing import Any

from shim.cni.conf import NetworkConfigList
from shim.cni.exec import Exec
from shim.cni.result import Result
from shim.cni.runtime import Attachment, Runtime
from tests.unit.cni.scripted import ScriptedPlugins

ATTACHMENT = Attachment("4f1c09", "/run/netns/a", "eth0", args=(("argA", "foo"),))
FAIL = """echo '{"cniVersion": "1.1.0", "code": 100, "msg": "it is broken"}'; exit 1"""
"""What a plugin runs to give an error."""


def answer(address: str) -> str:
    """What a plugin runs to answer ADD with one address."""
    return f"""echo '{{"cniVersion": "1.1.0", "ips": [{{"address": "{address}"}}]}}'"""


def result(address: str) -> Result:
    """The result that `answer` gives."""
    return Result.from_json({"cniVersion": "1.1.0", "ips": [{"address": address}]}, "result")


def conf(*plugins: str | dict[str, Any], **members: Any) -> NetworkConfigList:
    """The network "web" of version 1.1.0 with plugins given by type, or by configuration."""
    listed = [{"type": plugin} if isinstance(plugin, str) else plugin for plugin in plugins]
    value = {"cniVersion": "1.1.0", "name": "web", "plugins": listed, **members}
    return NetworkConfigList.from_json(value, "test")


def runtime(plugins: ScriptedPlugins) -> Runtime:
    """A runtime that finds the scripted plugins."""
    return Runtime(Exec(lambda *_: None), [plugins.folder], add_deadline=60.0, delete_deadline=60.0)
