"""The name of i2plib for ``eepkit.i2plib``."""

import sys

import eepkit.i2plib as _i2plib

_NAMES = ["__version__", "aiosam", "exceptions", "log", "sam", "tunnel", "utils"]
if sys.argv[:1] == ["-m"]:
    # `python -m i2plib.tunnel` looks for the file of the module, which it runs under another name.
    _NAMES.remove("tunnel")

for _name in _NAMES:
    sys.modules[f"i2plib.{_name}"] = sys.modules[f"eepkit.i2plib.{_name}"]
sys.modules["i2plib"] = _i2plib
