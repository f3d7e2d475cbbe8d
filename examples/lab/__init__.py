"""The lab: private Docker engines on one Debian machine, for the demo, the tests and the benchmarks.

Each engine lives in network, mount and process namespaces of its own, so the machine's Docker, its links,
iptables rules and plugin sockets stay as they are. Needs root; uses nothing but the standard library.
"""
