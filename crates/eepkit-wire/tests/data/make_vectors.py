#!/usr/bin/env python3
"""Makes signatures.txt, offline.dat and lease_set2.bin with the Python package `cryptography`.

Random numbers come from a generator with a fixed seed where the package allows it. It does not for
RSA keys and for the nonces of DSA and ECDSA, so another run makes other keys and signatures, which
are equally valid.
"""

import hashlib
import random
import struct
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HERE = Path(__file__).parent
RANDOM = random.Random(2)
MESSAGE = b"The quick brown fox jumps over the lazy dog"

# Cryptography specification, section "DSA".
P = int(
    "9c05b2aa960d9b97b8931963c9cc9e8c3026e9b8ed92fad0a69cc886d5bf8015"
    "fcadae31a0ad18fab3f01b00a358de237655c4964afaa2b337e96ad316b9fb1c"
    "c564b5aec5b69a9ff6c3e4548707fef8503d91dd8602e867e6d35d2235c1869c"
    "e2479c3b9d5401de04e0727fb33d6511285d4cf29538d9e3b6051f5b22cc1c93",
    16,
)
Q = int("a5dfc28fef4ca1e286744cd8eed9d29d684046b7", 16)
G = int(
    "0c1f4d27d40093b429e962d7223824e0bbc47e7c832a39236fc683af84889581"
    "075ff9082ed32353d4374d7301cda1d23c431f4698599dda02451824ff369752"
    "593647cc3ddc197de985e43d136cdcfc6bd5409cd2f450821142a5e6f8eb1c3a"
    "b5d0484b8129fcf17bce4f7f33321c3cb3dbb14a905e7b2b3e93be4708cbcc82",
    16,
)


def pair(der, length):
    r, s = decode_dss_signature(der)
    return r.to_bytes(length, "big") + s.to_bytes(length, "big")


def dsa_sha1():
    x = RANDOM.randrange(1, Q)
    public = dsa.DSAPublicNumbers(pow(G, x, P), dsa.DSAParameterNumbers(P, Q, G))
    key = dsa.DSAPrivateNumbers(x, public).private_key()
    signature = pair(key.sign(MESSAGE, hashes.SHA1()), 20)
    return public.y.to_bytes(128, "big"), x.to_bytes(20, "big"), signature


def ecdsa(curve, digest, length):
    x = RANDOM.randrange(1, 2 ** (8 * length - 9))
    key = ec.derive_private_key(x, curve)
    public = key.public_key().public_numbers()
    public = public.x.to_bytes(length, "big") + public.y.to_bytes(length, "big")
    return public, x.to_bytes(length, "big"), pair(key.sign(MESSAGE, ec.ECDSA(digest)), length)


def rsa_pkcs1(bits, digest):
    key = rsa.generate_private_key(65537, bits)
    numbers = key.private_numbers()
    n = numbers.public_numbers.n.to_bytes(bits // 8, "big")
    private = n + numbers.d.to_bytes(bits // 8, "big")
    return n, private, key.sign(MESSAGE, padding.PKCS1v15(), digest)


def ed25519_key():
    seed = RANDOM.randbytes(32)
    key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    return seed, key, key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def ed25519_sha512():
    seed, key, public = ed25519_key()
    return public, seed, key.sign(MESSAGE)


def signatures():
    rows = [
        (0, dsa_sha1()),
        (1, ecdsa(ec.SECP256R1(), hashes.SHA256(), 32)),
        (2, ecdsa(ec.SECP384R1(), hashes.SHA384(), 48)),
        (3, ecdsa(ec.SECP521R1(), hashes.SHA512(), 66)),
        (4, rsa_pkcs1(2048, hashes.SHA256())),
        (5, rsa_pkcs1(3072, hashes.SHA384())),
        (6, rsa_pkcs1(4096, hashes.SHA512())),
        (7, ed25519_sha512()),
    ]
    lines = ["# signature type, public key, private key, signature of the message\n"]
    lines += [f"{kind} {a.hex()} {b.hex()} {c.hex()}\n" for kind, (a, b, c) in rows]
    (HERE / "signatures.txt").write_text("".join(lines))


def destination(public):
    block = RANDOM.randbytes(32)
    return block * 11 + public + b"\x05\x00\x04\x00\x07\x00\x00"


def offline_section(key, expires):
    seed, transient, public = ed25519_key()
    part = struct.pack(">IH", expires, 7) + public
    return part + key.sign(part), seed, transient


def offline_keys():
    _, key, public = ed25519_key()
    section, seed, _ = offline_section(key, 2_000_000_000)
    file = destination(public) + RANDOM.randbytes(256) + bytes(32) + section + seed
    (HERE / "offline.dat").write_bytes(file)


def lease_set2():
    _, key, public = ed25519_key()
    section, _, transient = offline_section(key, 2_000_000_000)
    secret = x25519.X25519PrivateKey.from_private_bytes(bytes(range(32)))
    encryption = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    options = b"\x0a_smtp._tcp=\x0b0 999999 25;"
    leases = b"".join(
        hashlib.sha256(bytes([i])).digest() + struct.pack(">II", 1000 + i, 1_700_000_600 + i)
        for i in range(2)
    )
    body = (
        destination(public)
        + struct.pack(">IHH", 1_700_000_000, 660, 0b011)
        + section
        + struct.pack(">H", len(options)) + options
        + b"\x02"
        + struct.pack(">HH", 4, 32) + encryption
        + struct.pack(">HH", 0x1234, 5) + b"other"
        + b"\x02" + leases
    )
    (HERE / "lease_set2.bin").write_bytes(body + transient.sign(b"\x03" + body))


signatures()
offline_keys()
lease_set2()
