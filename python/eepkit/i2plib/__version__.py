"""The names that i2plib has for itself."""

from __future__ import annotations

from .._native import __version__ as __version__

__title__ = "eepkit.i2plib"
__description__ = "The interface of i2plib, with the router inside"
__url__ = "https://github.com/eepkit/eepkit"
__author__ = "The eepkit authors"
__author_email__ = ""
__license__ = "MIT OR Apache-2.0"
__copyright__ = "The eepkit authors"
