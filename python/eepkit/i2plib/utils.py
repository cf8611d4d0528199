"""Addresses and names."""

from __future__ import annotations

import os
import random
import socket
import string

from . import sam

Address = tuple[str, int]


def get_free_port() -> int:
    """A free TCP port of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port


def is_address_accessible(address: Address) -> bool:
    """Whether something accepts connections at the address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(address) == 0


def address_from_string(address_string: str) -> Address:
    """The host and port of ``HOST:PORT``."""
    host, _, port = address_string.rpartition(":")
    return (host.strip("[]"), int(port))


def get_sam_address() -> Address:
    """The address in ``I2P_SAM_ADDRESS``, or the default one."""
    value = os.getenv("I2P_SAM_ADDRESS")
    return address_from_string(value) if value else sam.DEFAULT_ADDRESS


def generate_session_id(length: int = 6) -> str:
    """A random session name."""
    letters = random.SystemRandom().choices(string.ascii_letters, k=length)
    return "i2plib-" + "".join(letters)
