"""The errors of a CNI runtime."""

from collections.abc import Sequence

from shim.errors import ShimError


class ConfError(ShimError):
    """A configuration, or what a user adds to it, is bad or missing; the text says where."""


class ResultError(ShimError):
    """A result does not have the shape the specification gives it."""


class CacheError(ShimError):
    """The result of an attachment cannot be stored."""


class PluginError(ShimError):
    """A plugin is missing, failed, or gave no usable answer."""

    def __init__(
        self, cause: str, *, plugin: str, network: str, command: str = "", code: int = 0, cure: str = ""
    ) -> None:
        run = f" {command}" if command else ""
        super().__init__(f'plugin "{plugin}" (network "{network}"){run}: {cause}', cure=cure)
        self.reason = cause
        """What went wrong, without saying where."""
        self.plugin = plugin
        """The plugin's `type`."""
        self.command = command
        """`CNI_COMMAND`; empty when the plugin was not found."""
        self.code = code
        """The error code the plugin gave (CNI specification, "Error"); 0 when it gave none."""
        self.cleanup_error: ShimError | None = None
        """Why the DEL that follows a failed ADD failed too, if it did."""

    @property
    def left_behind(self) -> bool:
        """Whether something of a failed ADD may remain, so that DEL has to be tried again."""
        return self.cleanup_error is not None


class GCError(ShimError):
    """Plugins failed at GC; the others have run nevertheless."""

    def __init__(self, errors: Sequence[PluginError]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = tuple(errors)
        """What each of them said."""
