"""i2plib's own tests, and programs that use i2plib, with our module in its place."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

SHIM = Path(__file__).parent.parent / "i2plib"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "eepkit-ci" / "python"

# What the tests call of asyncio, and what asyncio no longer has.
REMOVED = """
import asyncio, functools, sys

def without_loop(function):
    @functools.wraps(function)
    def call(*arguments, **options):
        options.pop("loop", None)
        return function(*arguments, **options)
    return call

class Task(asyncio.Task):
    all_tasks = staticmethod(lambda loop=None: asyncio.all_tasks(loop))
    current_task = staticmethod(lambda loop=None: asyncio.current_task(loop))

asyncio.Task = Task
for name in ("start_server", "open_connection", "Lock", "gather", "wait_for"):
    setattr(asyncio, name, without_loop(getattr(asyncio, name)))

import unittest
# The standard library has a package named test, too.
sys.path.insert(0, "test")
unittest.main(module=None, argv=["unittest", "-v", *sys.argv[1:]])
"""


@pytest.fixture(scope="module")
def alone():
    """Keeps the tests on other versions of Python from running at the same time.

    The tests of i2plib listen on one port, and their files are shared.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="module")
def upstream(alone):
    """The folder of the source distribution of i2plib 0.0.14, which has its tests."""
    archive = CACHE / "i2plib-0.0.14.tar.gz"
    if not archive.exists():
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
        fetched = subprocess.run(
            [*command, "-d", str(CACHE), "i2plib==0.0.14"], capture_output=True, text=True
        )
        if fetched.returncode != 0 or not archive.exists():
            pytest.skip(f"the tests of i2plib cannot be fetched: {fetched.stderr[-500:]}")
    with tarfile.open(archive) as files:
        for member in files.getmembers():
            if "/test/" in member.name and member.isfile():
                files.extract(member, CACHE)
    return CACHE / "i2plib-0.0.14" / "test"


def run_tests(upstream, module, tmp_path, **variables):
    """Runs one file of tests in a process of its own, and returns what failed."""
    folder = tmp_path / "test"
    folder.mkdir()
    for file in upstream.glob("*.py"):
        (folder / file.name).write_text(file.read_text())
    environment = {**os.environ, "PYTHONPATH": str(SHIM), **variables}
    extra = os.environ.get("PYTHONPATH")
    if extra:
        environment["PYTHONPATH"] += os.pathsep + os.path.abspath(extra)
    done = subprocess.run(
        [sys.executable, "-c", REMOVED, module],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = done.stderr.splitlines()
    assert any(line.startswith("Ran ") for line in lines), done.stderr
    failed = [line.split()[1] for line in lines if line.startswith(("FAIL:", "ERROR:"))]
    return failed, done.stderr


def test_its_tests_of_messages_and_names_pass(upstream, tmp_path):
    for number, module in enumerate(("test_sam", "test_utils")):
        (tmp_path / str(number)).mkdir()
        failed, output = run_tests(upstream, module, tmp_path / str(number))
        assert failed == [], output


def test_its_tests_of_destinations_pass(upstream, tmp_path):
    failed, output = run_tests(upstream, "test_address", tmp_path)
    # The source distribution lacks the file that this one reads.
    assert failed in ([], ["test_private_key"]), output


def test_its_functional_tests_pass_over_its_fake_bridge(upstream, tmp_path):
    failed, output = run_tests(upstream, "test_func", tmp_path)
    assert failed == [], output


@pytest.mark.skipif(
    not os.environ.get("EEPKIT_PYTHON_SLOW"),
    reason="takes half a minute, because a peer that does not exist is looked up: EEPKIT_PYTHON_SLOW=1",
)
def test_its_functional_tests_pass_over_a_real_bridge(upstream, tmp_path, sam_address):
    # The suite connects to a destination by its name right after its session was opened.
    failed, output = run_tests(
        upstream, "test_func", tmp_path, REAL_SAM="1", I2P_SAM_ADDRESS="%s:%d" % sam_address
    )
    assert failed == [], output


def test_the_name_i2plib_is_our_module():
    environment = {**os.environ, "PYTHONPATH": str(SHIM)}
    extra = os.environ.get("PYTHONPATH")
    if extra:
        environment["PYTHONPATH"] += os.pathsep + os.path.abspath(extra)
    text = """
import i2plib, i2plib.tunnel, i2plib.utils, eepkit.i2plib
from i2plib.sam import Destination
assert i2plib.ClientTunnel is eepkit.i2plib.ClientTunnel is i2plib.tunnel.ClientTunnel
assert Destination is eepkit.i2plib.Destination
"""
    subprocess.run([sys.executable, "-c", text], env=environment, check=True, timeout=60)
    done = subprocess.run(
        [sys.executable, "-m", "i2plib.tunnel", "--help"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Tunnel type (server or client)" in done.stdout, done.stderr
