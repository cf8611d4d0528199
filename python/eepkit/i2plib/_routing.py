"""Which bridge a call uses: one that is reached over TCP, or one in this process.

The address that i2plib has by default means the bridge at 127.0.0.1:7656 if one answers there, and
else a bridge in this process, on a router in this process. Every other address means TCP. The
variable ``EEPKIT_I2PLIB`` forces one: ``sam`` or ``embedded``.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from typing import Optional, Union

from .. import sync
from .._calls import wait
from .._common import RouterBase
from .._errors import BadInput
from .._native import SamBridge
from .. import _native
from . import sam
from .log import logger
from .utils import Address

VARIABLE = "EEPKIT_I2PLIB"

# The time in which a bridge on this machine answers HELLO.
_PROBE_SECONDS = 2.0

_lock = threading.Lock()
_bridge: Optional[SamBridge] = None
_router: Optional[RouterBase] = None
_answers: Optional[bool] = None


def use(router: Optional[RouterBase]) -> None:
    """Makes the default address mean this router, an ``eepkit.Router`` or ``eepkit.sync.Router``.

    ``None`` restores the default.
    """
    global _bridge, _router, _answers
    bridge = None if router is None else _start(router)
    with _lock:
        _bridge, _router, _answers = bridge, router, None


def is_default(address: object) -> bool:
    """Whether an address is the one that may mean a bridge in this process."""
    forced = _forced()
    if forced is not None:
        return forced == "embedded"
    if os.getenv("I2P_SAM_ADDRESS"):
        return False
    return isinstance(address, (tuple, list)) and tuple(address) == sam.DEFAULT_ADDRESS


async def connect(address: Address) -> Optional[socket.socket]:
    """A connection to the bridge in this process, or ``None`` if TCP is meant."""
    global _answers
    if not is_default(address):
        return None
    if _bridge is None and _forced() is None:
        if _answers is None:
            _answers = await _answers_hello(address)
        if _answers:
            return None
    loop = asyncio.get_running_loop()
    bridge = _bridge
    if bridge is None:
        bridge = await loop.run_in_executor(None, _embedded)
    return socket.socket(fileno=bridge.connect())


def _forced() -> Optional[str]:
    value = os.getenv(VARIABLE, "").strip().lower()
    if value in ("", "auto"):
        return None
    if value in ("sam", "embedded"):
        return value
    raise BadInput(f"{VARIABLE} is {value!r}: use sam, embedded or auto")


async def _answers_hello(address: Address) -> bool:
    async def ask() -> bool:
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(sam.hello(sam.DEFAULT_MIN_VER, sam.DEFAULT_MAX_VER))
            return (await reader.readline()).startswith(b"HELLO REPLY")
        finally:
            writer.close()

    try:
        return await asyncio.wait_for(ask(), _PROBE_SECONDS)
    except (OSError, asyncio.TimeoutError):
        return False


def _embedded() -> SamBridge:
    """The bridge on the router in this process, which is started if needed."""
    global _bridge, _router
    with _lock:
        if _bridge is None:
            logger.info("no SAM bridge at %s:%s: starts a router in this process", *sam.DEFAULT_ADDRESS)
            _router = sync.Router.embedded()
            _bridge = _start(_router)
        return _bridge


def _start(router: Union[RouterBase, sync.Router]) -> SamBridge:
    bridge: SamBridge = wait(lambda done: _native.sam_bridge(router._native, None, [], done))
    return bridge
