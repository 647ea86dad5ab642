"""Fixtures that several folders share."""

import os

# Nothing in the tests may reach a model hub.
os.environ['HF_HUB_OFFLINE'] = '1'

import torch

from tests.run_folder import emoji_data, run_folder  # noqa: F401
from tests.world import single_world, world  # noqa: F401

# The graphs here are tiny: on busy cores, threads that wait for one another take ten times as long.
torch.set_num_threads(1)
