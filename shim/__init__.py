"""A Docker remote network driver that runs standard CNI plugins.

Importing this package costs nothing: each module imports what it needs.
"""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(name)
    try:
        return version("cnm-cni-shim")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"
