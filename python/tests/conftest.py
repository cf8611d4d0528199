"""The common parts of the tests."""

from __future__ import annotations

import asyncio
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import eepkit

# A stream of a private network takes milliseconds, and a machine that is busy some more.
SECONDS = 60.0


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine in a new event loop, in limited time."""

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run(asyncio.wait_for(work, SECONDS))

    return run


@pytest.fixture
def script() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a script in another process."""

    def script(text: str, *arguments: str, timeout: float = SECONDS) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", text, *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return script


def free_port() -> int:
    """A port that is free, and that no outgoing connection takes: Linux begins those at 32,768."""
    while True:
        port = random.randrange(12_000, 32_000)
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


async def pair(router: eepkit.Router) -> tuple[eepkit.Session, eepkit.Session]:
    """Two sessions on one network."""
    a, b = await asyncio.gather(
        _open(router), _open(router)
    )
    return a, b


async def _open(router: eepkit.Router) -> eepkit.Session:
    return await router.session(preset="test")
