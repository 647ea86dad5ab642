"""Fixtures that several folders share."""

import os

import torch

# Nothing in the tests may reach a model hub.
os.environ['HF_HUB_OFFLINE'] = '1'
# The graphs here are tiny: on busy cores, threads that wait for one another take ten times as long.
torch.set_num_threads(1)

from tests.run_folder import emoji_data, run_folder  # noqa: F401
from tests.world import single_world, world  # noqa: F401
