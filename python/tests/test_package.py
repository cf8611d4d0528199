"""What is installed, and what the source does without it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "eepkit"


@pytest.fixture
def source(tmp_path):
    """A copy of the source without its compiled part."""
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    return shutil.copytree(SOURCE, tmp_path / "eepkit", ignore=ignored)


def import_error(source):
    """Import the package in a new process, and return what it writes."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "-c", "import eepkit"],
        cwd=source.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    return done.stderr


def test_the_source_without_the_compiled_part_says_what_to_do(source):
    error = import_error(source)
    assert "ImportError" in error
    assert "start Python in another directory" in error
    assert "maturin develop" in error


def test_a_compiled_part_that_cannot_be_loaded_is_reported_with_its_reason(source):
    (source / "_native.abi3.so").write_bytes(b"")
    error = import_error(source)
    assert "_native.abi3.so" in error
    assert "another directory" not in error.splitlines()[-1]


@pytest.fixture
def installed():
    try:
        return metadata.distribution("eepkit")
    except metadata.PackageNotFoundError:
        pytest.skip("the package is not installed")


def test_the_installed_package_has_the_texts_of_its_licenses(installed):
    texts = {file.name: file for file in installed.files or [] if "dist-info" in str(file)}
    for name in ("LICENSE-APACHE", "LICENSE-MIT"):
        assert texts[name].read_text().strip()


def test_the_installed_package_has_its_program_plugin_and_extras(installed):
    points = {(point.group, point.name): point.value for point in installed.entry_points}
    assert points["console_scripts", "eepkit"] == "eepkit.__main__:main"
    assert points["pytest11", "eepkit"] == "eepkit.pytest_plugin"
    assert set(installed.metadata.get_all("Provides-Extra")) == {"aiohttp", "httpx", "requests"}
