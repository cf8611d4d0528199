"""Short runs of the benchmark, which is a command of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from eepkit import sync

BENCH = Path(__file__).parent.parent / "bench.py"


def bench(*arguments):
    return subprocess.run(
        [sys.executable, str(BENCH), *arguments], capture_output=True, text=True, timeout=120
    )


def test_the_benchmark_runs_on_the_simulated_network():
    done = bench("--mib", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("MiB/s") == 3, done.stdout


def test_the_benchmark_over_i2pd_measures_i2plib_and_ours_over_the_same_bridges(tmp_path):
    # Bridges of this package in place of those of i2pd, and no I2CP.
    with sync.Router.simulated() as router:
        with router.sam_bridge() as one, router.sam_bridge() as other:
            addresses = ["{}:{}".format(*bridge.address) for bridge in (one, other)]
            file = tmp_path / "network.json"
            file.write_text(json.dumps({"routers": [{"sam": address} for address in addresses]}))
            done = bench("--i2pd", str(file), "--mib", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout + done.stderr
    assert done.stdout.count("  eepkit.i2plib  ") == 3, done.stdout
    # It runs only where it is installed, on Python 3.9.
    assert ("i2plib is not measured" in done.stderr) != ("i2plib 0.0.14" in done.stdout)
