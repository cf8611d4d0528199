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


def test_the_source_without_the_compiled_part_says_what_to_do(tmp_path):
    shutil.copytree(SOURCE, tmp_path / "eepkit", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "-c", "import eepkit"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "ImportError" in done.stderr
    assert "start Python in another directory" in done.stderr
    assert "maturin develop" in done.stderr


def test_a_compiled_part_that_cannot_be_loaded_is_reported_with_its_reason(tmp_path):
    shutil.copytree(SOURCE, tmp_path / "eepkit", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    (tmp_path / "eepkit" / "_native.abi3.so").write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "-c", "import eepkit"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "_native.abi3.so" in done.stderr
    assert "another directory" not in done.stderr.splitlines()[-1]


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
