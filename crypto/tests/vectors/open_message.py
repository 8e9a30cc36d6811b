#!/usr/bin/env python3
"""Opens the recorded message with tools that we did not write: `cryptography` 48 or later (HPKE, ECDSA, AES-GCM).

Run: python3 crypto/tests/vectors/open_message.py
"""

import base64
import hashlib
import json
import pathlib

from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

CURVE = ec.SECP521R1()
HPKE = hpke.Suite(hpke.KEM.P521, hpke.KDF.HKDF_SHA512, hpke.AEAD.AES_256_GCM)


def head(major, value):
    for bits, info in ((8, 24), (16, 25), (32, 26), (64, 27)):
        if value < 24:
            return bytes([major << 5 | value])
        if value < 1 << bits:
            return bytes([major << 5 | info]) + value.to_bytes(bits // 8, "big")
    raise ValueError(value)


def encode(value):
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    return head(4, len(value)) + b"".join(encode(item) for item in value)


def decode_item(data):
    major, info, data = data[0] >> 5, data[0] & 31, data[1:]
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(info, 0)
    value, data = (int.from_bytes(data[:size], "big") if size else info), data[size:]
    if major == 0:
        return value, data
    if major in (2, 3):
        return (data[:value] if major == 2 else data[:value].decode()), data[value:]
    assert major == 4, major
    items = []
    for _ in range(value):
        item, data = decode_item(data)
        items.append(item)
    return items, data


def decode(data):
    value, rest = decode_item(data)
    assert not rest and encode(value) == data, "not deterministic"
    return value


def padme(length):
    exponent = length.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return (length + mask) & ~mask


def verify(point, label, message, signature):
    r, s = (int.from_bytes(part, "big") for part in (signature[:66], signature[66:]))
    key = ec.EllipticCurvePublicKey.from_encoded_point(CURVE, point)
    key.verify(utils.encode_dss_signature(r, s), label.encode() + b"\0" + message, ec.ECDSA(hashes.SHA512()))


def sha512_256(*parts):
    return hashlib.new("sha512_256", b"".join(parts)).digest()


def check_prekey(prekey, device_point):
    (payload, signature), index, key, proof = prekey
    verify(device_point, "sotto/1 prekey batch", payload, signature)
    _, _, _, batch, _, count, root, _, _ = decode(payload)
    place, last, digest = index, count - 1, sha512_256(b"\0", index.to_bytes(4, "big"), key)
    for sibling in proof:
        assert last
        if place & 1 or place == last:
            digest = sha512_256(b"\1", sibling, digest)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            digest = sha512_256(b"\1", digest, sibling)
        place, last = place >> 1, last >> 1
    assert last == 0 and digest == root
    return [batch, index], key


def check_certificate(certificate, identity):
    payload, signature = certificate
    verify(identity, "sotto/1 device certificate", payload, signature)
    version, suite, address, device, key, _ = decode(payload)
    assert (version, suite) == (1, 1)
    return address, device, key


def safety_half(address, identity):
    digest = hashlib.sha512(b"sotto/1 safety number\0" + address.encode() + b"\0" + identity).digest()
    return [int.from_bytes(digest[i : i + 8], "big") % 100_000 for i in range(0, 48, 8)]


def main():
    vector = json.loads(pathlib.Path(__file__).with_name("message.json").read_text())
    raw = bytes.fromhex
    header_bytes, body, sender_identity = raw(vector["header"]), raw(vector["body"]), raw(vector["sender"]["identity"])
    version, suite, network, message, sender, device, ephemeral, commitment = decode(header_bytes)
    assert (version, suite, sender) == (1, 1, vector["sender"]["address"]) and sender.endswith("@" + network)
    fingerprint = base64.b32encode(sha512_256(b"sotto/1 identity key", sender_identity)).decode().lower().rstrip("=")
    assert fingerprint == vector["sender"]["fingerprint"]

    for recipient in vector["recipients"]:
        address, recipient_device, prekey_ref, wrapped = decode(raw(recipient["wrap"]))
        identity = raw(recipient["identity"])
        *owner, device_key = check_certificate(decode(raw(recipient["certificate"])), identity)
        assert owner == [address, recipient_device]
        ref, prekey = check_prekey(decode(raw(recipient["prekey"])), device_key)
        assert ref == prekey_ref
        secret = ec.derive_private_key(int(recipient["prekey_secret"], 16), CURVE)
        assert prekey == b"\4" + b"".join(
            number.to_bytes(66, "big") for number in (secret.public_key().public_numbers().x, secret.public_key().public_numbers().y)
        )

        info = encode(
            ["sotto/1 wrap", suite, network, message, sender, device, address, recipient_device, prekey_ref]
        )
        content_key = HPKE.decrypt(ephemeral + wrapped, secret, info)
        assert HKDFExpand(hashes.SHA512(), 32, b"sotto/1 commitment").derive(content_key) == commitment
        padded = AESGCM(content_key).decrypt(bytes(12), body, header_bytes)
        length = int.from_bytes(padded[:4], "big")
        assert len(padded) == padme(4 + length) and not any(padded[4 + length :])
        content, recipients, body_identity, certificate, signature = decode(padded[4 : 4 + length])
        assert body_identity == sender_identity
        assert [address, [recipient_device]] in recipients
        *owner, sender_key = check_certificate(certificate, sender_identity)
        assert owner == [sender, device]
        digests = [hashlib.sha512(part).digest() for part in (encode(recipients), content)]
        transcript = encode([suite, network, message, sender, device, ephemeral, commitment, *digests])
        verify(sender_key, "sotto/1 message", transcript, signature)
        assert content == raw(vector["content"])
        print(f"{address}: {content.decode()}")

    bob = vector["recipients"][0]
    halves = sorted([safety_half(sender, sender_identity), safety_half(decode(raw(bob["wrap"]))[0], raw(bob["identity"]))])
    assert " ".join(f"{group:05}" for half in halves for group in half) == vector["safety_number"]
    attachment = vector["attachment"]
    clear = AESGCM(raw(attachment["key"])).decrypt(bytes(11) + b"\1", raw(attachment["sealed"]), b"")
    assert clear == raw(attachment["clear"])
    print("everything verifies")


if __name__ == "__main__":
    main()
