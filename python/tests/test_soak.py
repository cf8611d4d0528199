"""A short run of the soak, which is a command of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_streams_leave_no_memory_threads_or_descriptors_behind():
    soak = Path(__file__).parent.parent / "soak.py"
    done = subprocess.run(
        [sys.executable, str(soak), "--streams", "1000", "--concurrent", "200"],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
