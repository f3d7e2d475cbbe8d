"""A Docker remote network driver that runs standard CNI plugins.

Importing this package costs nothing: each module imports what it needs.
"""

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - it takes 40 ms

    try:
        return version("cnm-cni-shim")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"
