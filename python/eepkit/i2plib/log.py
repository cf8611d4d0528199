"""The logger, which has the name that programs configure."""

from __future__ import annotations

import logging

logger = logging.getLogger("i2plib")
