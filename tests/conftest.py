"""Fixtures that several folders share."""

import os

# Nothing in the tests may reach a model hub.
os.environ['HF_HUB_OFFLINE'] = '1'

from tests.world import world  # noqa: F401
