"""Checks for plug-ins of anybody's: what every loss, probe, filter and dataset keeps, each demand in words.

They are what the tests of this project run on all registered classes.
"""

from outshine.testing.losses import LOSS_DEMANDS, check_loss
from outshine.testing.probes_and_filters import FILTER_DEMANDS, PROBE_DEMANDS, check_filter, check_probe
from outshine.testing.recipes import RECIPE_DEMANDS, check_recipe

__all__ = [
    "FILTER_DEMANDS",
    "LOSS_DEMANDS",
    "PROBE_DEMANDS",
    "RECIPE_DEMANDS",
    "check_filter",
    "check_loss",
    "check_probe",
    "check_recipe",
]
