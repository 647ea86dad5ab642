"""Fixtures that several folders share."""

import os

# Nothing in the tests may reach a model hub.
os.environ['HF_HUB_OFFLINE'] = '1'
# The graphs here are tiny: on busy cores, threads that wait for one another take ten times as long. Before PyTorch is
# imported, and for every process that a test starts.
os.environ['OMP_NUM_THREADS'] = '1'

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.run_folder import calibrated, emoji_data, linker, picture, run_folder  # noqa: F401
from tests.world import single_world, world  # noqa: F401

# The same cases in every run of the suite; `--hypothesis-profile=thorough` draws many more, and others each time.
QUIET = {'deadline': None, 'suppress_health_check': [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile('suite', derandomize=True, database=None, max_examples=40, **QUIET)
settings.register_profile('thorough', database=None, max_examples=1000, print_blob=True, **QUIET)
settings.load_profile('suite')


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Fixtures start as the test does, wherever in the order it is drawn: what one draws is no other's business."""
    torch.manual_seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    torch.manual_seed(0)
