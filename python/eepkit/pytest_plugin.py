"""Fixtures for tests of programs that use I2P.

======================  =========  ===============================================================
fixture                 scope      value
======================  =========  ===============================================================
``i2p_network``         session    ``eepkit.sync.Router`` of a simulated network
``i2p_devnet``          session    ``eepkit.sync.Devnet``: a private network of three real routers
``i2p_session``         function   ``eepkit.sync.Session`` on ``i2p_network``
``sam_address``         session    host and port of a SAM bridge on ``i2p_network``
======================  =========  ===============================================================

``--i2p-network=devnet`` makes ``i2p_session`` and ``sam_address`` use ``i2p_devnet``. Nothing starts
before a test asks for it, and nothing leaves the loopback interface.

The simulated network runs in real time, with a delay of 1 ms. A test may start a network of its own
with ``eepkit.Router.simulated(delay=...)``. Its time cannot be paused, because a program in Python does
not run on the clock of the runtime.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from . import sync

# One hop and one tunnel in each direction, which are built fastest.
_OPTIONS = {
    "inbound.length": 1,
    "outbound.length": 1,
    "inbound.quantity": 1,
    "outbound.quantity": 1,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("eepkit", "I2P")
    group.addoption(
        "--i2p-network",
        choices=("simulated", "devnet"),
        default="simulated",
        help="the network of the fixtures i2p_session and sam_address",
    )


@pytest.fixture(scope="session")
def i2p_devnet() -> Iterator[sync.Devnet]:
    """A private network of three real routers."""
    from . import sync

    with sync.Router.devnet(3) as net:
        yield net


@pytest.fixture(scope="session")
def i2p_network(request: pytest.FixtureRequest) -> Iterator[sync.Router]:
    """The router of the other fixtures."""
    from . import sync

    if request.config.getoption("--i2p-network") == "devnet":
        net: sync.Devnet = request.getfixturevalue("i2p_devnet")
        yield net.routers[0]
        return
    with sync.Router.simulated() as router:
        yield router


@pytest.fixture
def i2p_session(i2p_network: sync.Router) -> Iterator[sync.Session]:
    """A session with a new destination."""
    with i2p_network.session(preset="test") as session:
        yield session


@pytest.fixture(scope="session")
def sam_address(i2p_network: sync.Router) -> Iterator[tuple[str, int]]:
    """The address of a SAM bridge."""
    with i2p_network.sam_bridge(options=_OPTIONS) as bridge:
        yield bridge.address
