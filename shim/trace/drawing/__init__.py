"""Sequence diagrams of traces, as SVG."""
