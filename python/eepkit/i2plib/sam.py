"""Messages of SAM, and destinations."""

from __future__ import annotations

import re
import struct
from base64 import b32encode, b64decode, b64encode
from hashlib import sha256
from typing import Optional, Union

I2P_B64_CHARS = "-~"
SAM_BUFSIZE = 4096
DEFAULT_ADDRESS = ("127.0.0.1", 7656)
DEFAULT_MIN_VER = "3.1"
DEFAULT_MAX_VER = "3.1"
TRANSIENT_DESTINATION = "TRANSIENT"

VALID_BASE32_ADDRESS = re.compile(r"^([a-zA-Z0-9]{52}).b32.i2p$")
VALID_BASE64_ADDRESS = re.compile(r"^([a-zA-Z0-9-~=]{516,528})$")

# A key with a value, which may be quoted and then contain escaped quotes.
_OPTION = re.compile(r'([^\s=]+)(?:=(?:"((?:\\.|[^"\\])*)"|(\S*)))?')

Data = Union[str, bytes, bytearray]


def i2p_b64encode(x: bytes) -> str:
    """Encodes bytes in the base64 alphabet of I2P."""
    return b64encode(x, altchars=I2P_B64_CHARS.encode()).decode()


def i2p_b64decode(x: Union[str, bytes]) -> bytes:
    """Decodes the base64 alphabet of I2P. Missing padding is added."""
    text = x.encode() if isinstance(x, str) else bytes(x)
    text += b"=" * (-len(text) % 4)
    return b64decode(text, altchars=I2P_B64_CHARS.encode(), validate=True)


class Message:
    """A line of SAM: ``cmd``, ``action`` and the options ``opts``."""

    def __init__(self, s: Union[str, bytes]) -> None:
        self._reply_string = s if isinstance(s, str) else s.decode().strip()
        self.opts: dict[str, Union[str, bool]] = {}
        self.cmd, self.action, rest = self._reply_string.split(" ", 2)
        for key, quoted, plain in _options(rest):
            if quoted is None and plain is None:
                self.opts[key] = True
            elif quoted is not None:
                self.opts[key] = re.sub(r"\\(.)", r"\1", quoted)
            else:
                self.opts[key] = plain or ""

    def __getitem__(self, key: str) -> Union[str, bool]:
        return self.opts[key]

    @property
    def ok(self) -> bool:
        return self["RESULT"] == "OK"

    def text(self, key: str) -> str:
        """The value of an option, and an empty text if it is missing."""
        value = self.opts.get(key, "")
        return value if isinstance(value, str) else ""

    def __repr__(self) -> str:
        return self._reply_string


def _options(text: str) -> list[tuple[str, Optional[str], Optional[str]]]:
    return [(found[1], found[2], found[3]) for found in _OPTION.finditer(text.strip())]


def hello(min_version: str, max_version: str) -> bytes:
    return f"HELLO VERSION MIN={min_version} MAX={max_version}\n".encode()


def session_create(style: str, session_id: str, destination: str, options: str = "") -> bytes:
    return (
        f"SESSION CREATE STYLE={style} ID={session_id} DESTINATION={destination} {options}\n"
    ).encode()


def stream_connect(session_id: str, destination: str, silent: str = "false") -> bytes:
    return f"STREAM CONNECT ID={session_id} DESTINATION={destination} SILENT={silent}\n".encode()


def stream_accept(session_id: str, silent: str = "false") -> bytes:
    return f"STREAM ACCEPT ID={session_id} SILENT={silent}\n".encode()


def stream_forward(session_id: str, port: Union[int, str], options: str = "") -> bytes:
    return f"STREAM FORWARD ID={session_id} PORT={port} {options}\n".encode()


def naming_lookup(name: str) -> bytes:
    return f"NAMING LOOKUP NAME={name}\n".encode()


def dest_generate(signature_type: Union[int, str]) -> bytes:
    return f"DEST GENERATE SIGNATURE_TYPE={signature_type}\n".encode()


class Destination:
    """A destination, from base64 text, bytes or a file, with or without private keys.

    ``data`` and ``base64`` are the public part, ``private_key`` is a ``PrivateKey`` or ``None``.
    """

    ECDSA_SHA256_P256 = 1
    ECDSA_SHA384_P384 = 2
    ECDSA_SHA512_P521 = 3
    EdDSA_SHA512_Ed25519 = 7

    default_sig_type = EdDSA_SHA512_Ed25519

    _pubkey_size = 256
    _signkey_size = 128
    _min_cert_size = 3

    def __init__(
        self,
        data: Optional[Data] = None,
        path: Optional[str] = None,
        has_private_key: bool = False,
    ) -> None:
        self.private_key: Optional[PrivateKey] = None
        if path:
            with open(path, "rb") as file:
                data = file.read()
        if isinstance(data, bytearray):
            data = bytes(data)
        if isinstance(data, str):
            data = data.strip()
        if data and has_private_key:
            self.private_key = PrivateKey(data)
            data = _public_part(self.private_key.data)
        if not data:
            raise Exception("Can't create a destination with no data")
        self.data = data if isinstance(data, bytes) else i2p_b64decode(data)
        self.base64 = data if isinstance(data, str) else i2p_b64encode(data)

    def __repr__(self) -> str:
        return f"<Destination: {self.base32}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Destination) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.data)

    @property
    def base32(self) -> str:
        """The hash of the destination, without ``.b32.i2p``."""
        return b32encode(sha256(self.data).digest()).decode()[:52].lower()


def _public_part(data: bytes) -> bytes:
    smallest = Destination._pubkey_size + Destination._signkey_size + Destination._min_cert_size
    if len(data) < smallest:
        raise ValueError(f"a private key has at least {smallest} bytes, not {len(data)}")
    (length,) = struct.unpack("!H", data[smallest - 2 : smallest])
    return data[: smallest + length]


class PrivateKey:
    """The private keys of a destination: ``data`` and ``base64``."""

    def __init__(self, data: Data) -> None:
        if isinstance(data, bytearray):
            data = bytes(data)
        self.data = data if isinstance(data, bytes) else i2p_b64decode(data)
        self.base64 = data if isinstance(data, str) else i2p_b64encode(data)

    def __repr__(self) -> str:
        return "<PrivateKey>"
