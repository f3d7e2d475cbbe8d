"""The book of experiments: what has been claimed about CNM and CNI, tried on real engines.

Each file in `book` is one experiment: a claim with its source, a measurement, and a verdict that is computed
from the data. `python -m experiments` runs them on private engines and writes the report.
"""
