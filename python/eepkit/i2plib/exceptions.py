"""The results of SAM as exceptions."""

from __future__ import annotations


class SAMException(IOError):
    """The base of all exceptions for results of SAM."""


class CantReachPeer(SAMException):
    """The peer exists, but cannot be reached."""


class DuplicatedDest(SAMException):
    """The destination is used by another session."""


class DuplicatedId(SAMException):
    """The session name is used by another session."""


class I2PError(SAMException):
    """Any other error."""


class InvalidId(SAMException):
    """There is no session with this name."""


class InvalidKey(SAMException):
    """The key is malformed, or the name is unknown."""


class KeyNotFound(SAMException):
    """The name cannot be resolved."""


class PeerNotFound(SAMException):
    """The peer cannot be found on the network."""


class Timeout(SAMException):
    """The peer did not answer in time."""


SAM_EXCEPTIONS: dict[str, type[SAMException]] = {
    "CANT_REACH_PEER": CantReachPeer,
    "DUPLICATED_DEST": DuplicatedDest,
    "DUPLICATED_ID": DuplicatedId,
    "I2P_ERROR": I2PError,
    "INVALID_ID": InvalidId,
    "INVALID_KEY": InvalidKey,
    "KEY_NOT_FOUND": KeyNotFound,
    "PEER_NOT_FOUND": PeerNotFound,
    "TIMEOUT": Timeout,
}


class _NotFound(KeyNotFound, InvalidKey):
    """Bridges report a name that nobody has in one of these two ways."""


# Spellings of other bridges, and results that i2plib did not distinguish.
_ALSO: dict[str, type[SAMException]] = {
    "DUPLICATE_DEST": DuplicatedDest,
    "DUPLICATE_ID": DuplicatedId,
    "KEY_NOT_FOUND": _NotFound,
    "LEASESET_NOT_FOUND": CantReachPeer,
}


def of_result(result: str, message: str = "") -> SAMException:
    """The exception for a result. A result that is not known is an ``I2PError``."""
    kind = _ALSO.get(result) or SAM_EXCEPTIONS.get(result) or I2PError
    return kind(f"{result}: {message}" if message else result)
