"""The table in `docs/fidelity.md`: what becomes of each property of each chain, on each engine."""

from collections.abc import Mapping

from tests.e2e.matrix.cases import CASES, Case, Property
from tests.e2e.matrix.columns import COLUMNS, ENGINES, INPLACE, MODES, NEW_ENGINE, OLD_ENGINE, PLUGINS, Column
from tests.e2e.matrix.expected import expected, refusal

_PAGE = """# What the plugins configured, and what the container gets

Docker takes a link, one address of each family and the routes of one table from a network driver. CNI
plugins may do anything in a network namespace. This table says what becomes of it, for each plugin that the
tests' kernel can run, alone and in chains.

- *Carried*: the first process of the container finds it, since the engine takes it along; `docker inspect`
  tells addresses, MAC address and gateways. What plugins do on the host, and in mode `inplace` all that
  they do in the container, stays where they did it, and is carried as well.
- *Replayed*: the first process finds it, though the engine does not take it along: the shim puts it back.
  Engines before 28 start the process at the same time, so that it may come some milliseconds later there.
- *Flawed*: the chain's CHECK does not pass, and does not without Docker either, for the reason given.
- *Refused*: the chain cannot be run so, and `docker` says why.
- *Not given*: the chain can be run, but those plugins do not do this.

No cell says *lost*: there is nothing here that the container does not get.

The modes are those of `docker network create -o cni.mode=`. Two sets of plugins were run, 1.1.1 of Debian
12 and the newest in Debian; a cell has two parts where they differ. Each property is seen by its effect: an
address answers, a transfer takes its time, another machine sees the host's address, nothing is left after
the container.

Left out are plugins that need what the tests' kernel lacks: `ipvlan`, `vlan`, `vrf`, `dummy`, and `bridge`
with `vlan`. The `dns` of a result is nothing in a namespace: [docker.md](docker.md) says how a container
gets it.

`pytest tests/e2e/matrix --fidelity-table docs/fidelity.md` writes this page from a run; a test fails when
the page is not what the tests say.

"""

_ENGINE_NAMES = {OLD_ENGINE: "Docker 20.10", NEW_ENGINE: "Docker 28"}


def rendered(outcomes: Mapping[str, str]) -> str:
    """The page; `outcomes` are by test and property, as `outcome_name` has them."""
    columns = [(engine, mode) for engine in ENGINES for mode in MODES]
    page = _PAGE + "| Chain | Property |" + "".join(f" {_heading(*column)} |" for column in columns)
    page += "\n|" + " --- |" * (2 + len(columns)) + "\n"
    for case in CASES:
        for item in case.all_properties():
            cells = [_cell(case, item, engine, mode, outcomes) for engine, mode in columns]
            page += f"| {case.name} | {item.name} | {' | '.join(cells)} |\n"
    return page


def outcome_name(case: Case, column: Column, item: Property | None = None) -> str:
    """How a test that passed or failed is called, for one property, or as a whole."""
    test = f"[{column.engine}-{column.plugins}-{case.name}-{column.mode}]"
    return f"{test} {item.name}" if item else test


def all_passed() -> dict[str, str]:
    """The outcomes of a run without failures."""
    names = [
        outcome_name(case, column, item)
        for case in CASES
        for column in COLUMNS
        for item in (None, *case.all_properties())
    ]
    return dict.fromkeys(names, "passed")


def _heading(engine: str, mode: str) -> str:
    hot_plugged = Column(engine, mode, PLUGINS[0]).is_hot_plugged
    how = f"`{mode}`, by `docker network connect`" if hot_plugged else f"`{mode}`"
    return f"{_ENGINE_NAMES[engine]}, {how}" if INPLACE in MODES else _ENGINE_NAMES[engine]


def _cell(case: Case, item: Property, engine: str, mode: str, outcomes: Mapping[str, str]) -> str:
    texts = {plugins: _text(case, item, Column(engine, mode, plugins), outcomes) for plugins in PLUGINS}
    if len(set(texts.values())) == 1:
        return texts[PLUGINS[0]]
    return "; ".join(f"{plugins}: {text}" for plugins, text in texts.items())


def _text(case: Case, item: Property, column: Column, outcomes: Mapping[str, str]) -> str:
    if message := refusal(case, column):
        outcome = outcomes.get(outcome_name(case, column), "not run")
        return f"refused: {message}" if outcome == "passed" else f"**{outcome}**"
    if column.plugins not in item.plugins:
        return "not given"
    outcome = outcomes.get(outcome_name(case, column, item), "not run")
    if outcome != "passed":
        return f"**{outcome}**"
    verdict = expected(case, item, column)
    return f"{verdict.kind}: {verdict.why}" if verdict.why else verdict.kind
