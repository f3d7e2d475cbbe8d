"""Made-up data, and what they must lead to: a module for each experiment, named as the experiment's."""

import importlib
import pkgutil

from tests.unit.experiments.verdicts.case import Case

CASES: list[Case] = [
    case
    for module in pkgutil.iter_modules(__path__)
    if module.name != "case"
    for case in importlib.import_module(f"{__name__}.{module.name}").CASES
]
