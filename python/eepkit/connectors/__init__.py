"""Transports that let HTTP clients use a session.

``connectors.httpx``, ``connectors.aiohttp`` and ``connectors.requests`` need the package of the same
name. None of them looks up a name or opens a connection outside of I2P: the host of a URL goes to
the session, whatever it is.
"""

from __future__ import annotations
