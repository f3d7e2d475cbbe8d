"""Capability arguments: each shape of the conventions, and that none is dropped in silence."""

from typing import Any

import pytest

from shim.cni import capabilities
from shim.cni.conf import NetworkConfigList
from shim.cni.errors import ConfError


def _conf(*declared: str) -> NetworkConfigList:
    plugin = {"type": "a", "capabilities": dict.fromkeys(declared, True)}
    return NetworkConfigList.from_json({"cniVersion": "1.0.0", "name": "web", "plugins": [plugin]}, "x")


@pytest.mark.parametrize(
    ("capability", "value"),
    [
        ("portMappings", [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"}]),
        ("portMappings", [{"hostPort": 1, "containerPort": 65535, "protocol": "SCTP"}]),
        ("portMappings", []),
        ("ipRanges", [[{"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.3", "gateway": "10.1.2.1"}], []]),
        ("ips", ["10.0.0.5", "10.0.0.5/24", "fd00::5/64"]),
        ("mac", "c2:11:22:33:44:55"),
        ("bandwidth", {"ingressRate": 2048, "ingressBurst": 1600, "egressRate": 4096, "egressBurst": 1600}),
        ("bandwidth", {"egressRate": 4096, "egressBurst": 1600}),
        ("dns", {"searches": ["corp.example"], "servers": ["8.8.8.8"]}),
        ("infinibandGUID", "c2:11:22:33:44:55:66:77"),
        ("deviceID", "0000:04:00.5"),
        ("aliases", ["my-container", "primary-db"]),
        ("aliases", {"web": ["my-container"]}),
        ("cgroupPath", "/kubelet.slice/pod1.slice"),
        ("of-their-own", {"anything": [1]}),
    ],
)
def test_what_the_conventions_show_is_accepted(capability: str, value: Any) -> None:
    capabilities.check({capability: value}, _conf(capability))


@pytest.mark.parametrize(
    ("capability", "value", "said"),
    [
        ("portMappings", {}, "portMappings: expected a list"),
        (
            "portMappings",
            [{"containerPort": 80, "protocol": "tcp"}],
            "portMappings[0]: hostPort: expected a port",
        ),
        (
            "portMappings",
            [{"hostPort": 0, "containerPort": 80, "protocol": "tcp"}],
            "hostPort: expected a port",
        ),
        ("portMappings", [{"hostPort": 80, "containerPort": 65536, "protocol": "tcp"}], "containerPort"),
        (
            "portMappings",
            [{"hostPort": 80, "containerPort": 80, "protocol": "icmp"}],
            "protocol: expected tcp",
        ),
        (
            "portMappings",
            [{"hostPort": 80, "containerPort": 80, "protocol": "tcp", "hostIP": "lo"}],
            "hostIP: expected an address",
        ),
        ("ipRanges", [{"subnet": "10.0.0.0/24"}], "ipRanges[0]: expected a list"),
        ("ipRanges", "10.0.0.0/24", "ipRanges: expected a list of lists"),
        ("ipRanges", [[{"subnet": "10.0.0.0"}]], "ipRanges[0][0]: subnet: expected a subnet"),
        ("ipRanges", [[{"subnet": "10.0.0.0/24", "rangeEnd": "x"}]], "rangeEnd: expected an address"),
        ("ips", "10.0.0.5", "ips: expected a list"),
        ("ips", ["10.0.0"], "ips: expected a list of addresses"),
        ("mac", "c2-11-22-33-44-55", "mac: expected a MAC address"),
        ("mac", 5, "mac: expected a string"),
        ("bandwidth", {"ingressRate": 5}, "ingressBurst: expected ingressRate and ingressBurst together"),
        ("bandwidth", {"egressRate": -1, "egressBurst": 5}, "egressRate and egressBurst together"),
        ("bandwidth", {"egressRate": "1M", "egressBurst": 5}, "egressRate: expected an integer"),
        ("dns", {"servers": "8.8.8.8"}, "dns: servers: expected a list of strings"),
        ("infinibandGUID", "c2:11:22:33:44:55", "infinibandGUID: expected eight bytes"),
        ("deviceID", "", "deviceID: expected the ID of a device"),
        ("aliases", "db", "aliases: expected a list of strings"),
        ("aliases", {"web": "db"}, "aliases: web: expected a list of strings"),
        ("cgroupPath", "kubelet.slice", "cgroupPath: expected an absolute path"),
    ],
)
def test_what_is_out_of_shape_is_refused_with_its_place(capability: str, value: Any, said: str) -> None:
    with pytest.raises(ConfError) as refusal:
        capabilities.check({capability: value}, _conf(capability))

    assert said in str(refusal.value)


def test_a_capability_that_no_plugin_declares_is_refused_by_name() -> None:
    with pytest.raises(ConfError, match=r'network "web": no plugin of the chain takes the capability "mac"'):
        capabilities.check({"ips": ["10.0.0.5"], "mac": "c2:11:22:33:44:55"}, _conf("ips"))
