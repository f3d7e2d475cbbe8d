"""The columns of the matrix, and the words for what becomes of a property in them."""

from dataclasses import dataclass

HANDOVER, INPLACE = "handover", "inplace"
MODES = (HANDOVER, INPLACE)
"""Of a Docker network."""

OLD_ENGINE, NEW_ENGINE = "20.10", "newest"
ENGINES = (OLD_ENGINE, NEW_ENGINE)
"""As `session_engine` is parametrised by them."""

OLD_PLUGINS, NEW_PLUGINS = "1.1.1", "1.9.1"
PLUGINS = (OLD_PLUGINS, NEW_PLUGINS)
"""As `plugin_set` is parametrised by them."""

CARRIED = "carried"
REPLAYED = "replayed"
FLAWED = "flawed"


@dataclass(frozen=True, slots=True)
class Column:
    """Where a container is run."""

    engine: str
    mode: str
    plugins: str

    @property
    def is_hot_plugged(self) -> bool:
        """Whether the network is connected to a running container.

        Old engines have no sandbox before that in which a chain could run.
        """
        return self.mode == INPLACE and self.engine == OLD_ENGINE

    @property
    def may_be_late(self) -> bool:
        """Whether replaying may end some milliseconds after the container's first process has started.

        Old engines give no moment between the sandbox and the process.
        """
        return self.mode == HANDOVER and self.engine == OLD_ENGINE


COLUMNS = tuple(Column(engine, mode, plugins) for engine in ENGINES for mode in MODES for plugins in PLUGINS)
