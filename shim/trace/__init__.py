"""Traces: what happens in the daemon, or passes a proxy, as JSON lines and as sequence diagrams."""
