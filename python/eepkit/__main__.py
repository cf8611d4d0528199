"""The program ``eepkit``."""

from __future__ import annotations

import signal
import sys

from ._native import program


def main() -> None:
    # The handler of Python would only run after the program has returned.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(program(["eepkit", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
