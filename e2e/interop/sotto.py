"""Sections 1 to 3 and 8 to 10 of docs/protocol.md in Python, with the `cryptography` package only.

Written from that page and from the standards that it names, not from the Rust code; the tests in interop.py let the two talk to each other.
"""

import base64
import hashlib
import os
import re
import struct

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

CURVE = ec.SECP521R1()
ORDER = int("01" + "f" * 64 + "fa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409", 16)
PRIME = 2**521 - 1
MAX_CONTENT, MAX_RECIPIENTS, MAX_BODY, MAX_BATCH, CHUNK = 69_632, 2_000, 1_048_576, 1_024, 65_536
MAX_LISTED_DEVICES = 64


class Refused(Exception):
    """Something that has to be refused; the kind is that of crypto/vectors/refusals.json."""

    def __init__(self, kind):
        super().__init__(kind)
        self.kind = kind


# --- 1. Encoding ------------------------------------------------------------------------------------------------------


def _head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for size, info in ((1, 24), (2, 25), (4, 26), (8, 27)):
        if value < 1 << 8 * size:
            return bytes([major << 5 | info]) + value.to_bytes(size, "big")
    raise ValueError(value)


def encode(value):
    if isinstance(value, int):
        return _head(0, value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        text = value.encode()
        return _head(3, len(text)) + text
    return _head(4, len(value)) + b"".join(map(encode, value))


class _Reader:
    """Reads what is well formed, in any form: whether it is the one form shows when it is encoded again."""

    def __init__(self, data):
        self.data, self.place = data, 0

    def take(self, count):
        if self.place + count > len(self.data):
            raise Refused("Malformed")
        self.place += count
        return self.data[self.place - count : self.place]

    def item(self, depth=0):
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if depth > 8:
            raise Refused("Malformed")
        if major == 4 and info == 31:
            items = []
            while self.data[self.place : self.place + 1] != b"\xff":
                items.append(self.item(depth + 1))
            self.take(1)
            return items
        if info < 24:
            value = info
        elif info < 28:
            value = int.from_bytes(self.take(1 << info - 24), "big")
        else:
            raise Refused("Malformed")
        if major == 0:
            return value
        if major == 2:
            return self.take(value)
        if major == 3:
            try:
                return self.take(value).decode()
            except UnicodeDecodeError:
                raise Refused("Malformed") from None
        if major == 4:
            return [self.item(depth + 1) for _ in range(value)]
        raise Refused("Malformed")


def decode(data, schema):
    """Decodes strictly. A schema is a checker, a list of schemas, or [...]-like `many(schema)`."""
    reader = _Reader(data)
    value = reader.item()
    fields = _check(value, schema)
    if reader.place != len(data):
        raise Refused("TrailingBytes")
    if encode(fields) != data:
        raise Refused("NotDeterministic")
    return fields


def decode_first(data, count):
    """The first fields of a structure, of which the others do not matter here."""
    reader = _Reader(data)
    head = reader.take(1)[0]
    _is(head >> 5 == 4 and count <= head & 31 < 24)
    return [reader.item() for _ in range(count)]


def _check(value, schema):
    if isinstance(schema, list):
        # More fields than are known do not survive being encoded again; fewer are no such structure.
        if not isinstance(value, list) or len(value) < len(schema):
            raise Refused("Malformed")
        return [_check(item, part) for item, part in zip(value, schema)]
    return schema(value)


def many(schema):
    def check(value):
        if not isinstance(value, list):
            raise Refused("Malformed")
        return [_check(item, schema) for item in value]

    return check


def _is(condition):
    if not condition:
        raise Refused("Malformed")


def uint(bits):
    def check(value):
        _is(isinstance(value, int) and value < 1 << bits)
        return value

    return check


def octets(length=None):
    def check(value):
        _is(isinstance(value, bytes) and length in (None, len(value)))
        return value

    return check


_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]+\Z){_LABEL}\Z")
_NAME = re.compile(r"(?!\.)[a-z0-9._+-]{1,64}(?<!\.)\Z")


def domain(value):
    _is(isinstance(value, str) and len(value) <= 253 and _DOMAIN.match(value))
    return value


def address(value):
    _is(isinstance(value, str) and len(value) <= 253 and value.count("@") == 1)
    name, network = value.split("@")
    _is(_NAME.match(name))
    domain(network)
    return value


def point(value):
    _is(isinstance(value, bytes))
    try:
        public_key(value)
    except Refused:
        raise Refused("Malformed") from None
    return value


ID, U8, U16, U32, U64, TIME = octets(16), uint(8), uint(16), uint(32), uint(64), uint(64)
SIGNATURE = octets(132)
SIGNED = [octets(), SIGNATURE]
CERTIFICATE = [U8, U16, address, ID, point, TIME]
LISTED = [ID, point, TIME]
DEVICE_LIST = [U8, U16, address, TIME, TIME, many(LISTED)]
RETENTION = [U8, U16, domain, address, point, TIME, TIME]


def _kind(value):
    _is(value in (0, 1))
    return value


# A medium-term batch has one key a week; clocks may be this far apart.
WEEK_MS, APART_MS = 604_800_000, 300_000
BATCH_HEADER = [U8, U16, ID, ID, _kind, U32, octets(32), TIME, TIME]
BATCH = [SIGNED, many(point)]
PREKEY = [SIGNED, U32, point, many(octets(32))]
PREKEY_REF = [ID, U32]
HEADER = [U8, U16, domain, ID, address, ID, point, octets(32)]
WRAP = [address, ID, PREKEY_REF, octets(48)]


def recipient_list(value):
    users = many([address, many(ID)])(value)
    names = [name for name, _ in users]
    _is(names == sorted(set(names), key=str.encode))
    for _, devices in users:
        _is(devices and devices == sorted(set(devices)))
    _is(1 <= sum(len(devices) for _, devices in users) <= MAX_RECIPIENTS)
    return users


BODY = [octets(), recipient_list, point, SIGNED, SIGNATURE]


# --- keys, signatures, digests ----------------------------------------------------------------------------------------


def public_key(data):
    if len(data) != 133 or data[0] != 4:
        raise Refused("Public")
    if any(int.from_bytes(part, "big") >= PRIME for part in (data[1:67], data[67:])):
        raise Refused("Public")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(CURVE, data)
    except ValueError:
        raise Refused("Public") from None


def secret_key(data):
    if len(data) != 66 or not 1 <= int.from_bytes(data, "big") < ORDER:
        raise Refused("Secret")
    return ec.derive_private_key(int.from_bytes(data, "big"), CURVE)


def new_secret():
    return ec.generate_private_key(CURVE).private_numbers().private_value.to_bytes(66, "big")


def public_of(secret):
    numbers = secret_key(secret).public_key().public_numbers()
    return b"\4" + numbers.x.to_bytes(66, "big") + numbers.y.to_bytes(66, "big")


def sign(secret, label, message):
    der = secret_key(secret).sign(label.encode() + b"\0" + message, ec.ECDSA(hashes.SHA512()))
    r, s = utils.decode_dss_signature(der)
    return r.to_bytes(66, "big") + s.to_bytes(66, "big")


def verify(key, label, message, signature):
    r, s = (int.from_bytes(part, "big") for part in (signature[:66], signature[66:]))
    if len(signature) != 132 or not (1 <= r < ORDER and 1 <= s < ORDER):
        raise Refused("SignatureError")
    try:
        der = utils.encode_dss_signature(r, s)
        public_key(key).verify(der, label.encode() + b"\0" + message, ec.ECDSA(hashes.SHA512()))
    except InvalidSignature:
        raise Refused("SignatureError") from None


def sign_document(secret, label, fields):
    payload = encode(fields)
    return [payload, sign(secret, label, payload)]


def verify_document(key, label, schema, document):
    payload, signature = document
    try:
        verify(key, label, payload, signature)
    except Refused:
        raise Refused("Signature") from None
    try:
        fields = decode(payload, schema)
    except Refused:
        raise Refused("Payload") from None
    if fields[:2] != [2, 1]:
        raise Refused("Unsupported")
    return fields


def H(*parts):
    return hashlib.new("sha512_256", b"".join(parts)).digest()


def sha512(data):
    return hashlib.sha512(data).digest()


# --- 2. Keys ----------------------------------------------------------------------------------------------------------


def fingerprint(role, key):
    return base64.b32encode(H(f"sotto/2 {role} key".encode(), key)).decode().rstrip("=").lower()


def safety_number(address_a, identity_a, address_b, identity_b):
    def half(name, identity):
        digest = sha512(b"sotto/2 safety number\0" + name.encode() + b"\0" + identity)
        return [number % 100_000 for number in struct.unpack(">6Q", digest[:48])]

    halves = sorted([half(address_a, identity_a), half(address_b, identity_b)])
    return " ".join(f"{number:05}" for half in halves for number in half)


def leaf(index, key):
    return H(b"\0", struct.pack(">I", index), key)


def merkle_root(leaves):
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return H(b"\1", merkle_root(leaves[:split]), merkle_root(leaves[split:]))


def merkle_proof(leaves, index):
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return merkle_proof(leaves[:split], index) + [merkle_root(leaves[split:])]
    return merkle_proof(leaves[split:], index - split) + [merkle_root(leaves[:split])]


def merkle_verifies(root, count, index, digest, proof):
    """RFC 9162, section 2.1.3.2."""
    if index >= count:
        return False
    fn, sn = index, count - 1
    for sibling in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            digest = H(b"\1", sibling, digest)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            digest = H(b"\1", digest, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and digest == root


def new_device(name, identity_secret, count, now_ms, expires_ms):
    """A device with certificate and a batch of one-time prekeys; returns a dict of bytes."""
    device, secret, batch = os.urandom(16), new_secret(), os.urandom(16)
    key, identity = public_of(secret), public_of(identity_secret)
    certificate = sign_document(identity_secret, "sotto/2 device certificate", [2, 1, name, device, key, now_ms])
    secrets = [new_secret() for _ in range(count)]
    keys = [public_of(prekey) for prekey in secrets]
    leaves = [leaf(index, prekey) for index, prekey in enumerate(keys)]
    fields = [2, 1, device, batch, 0, count, merkle_root(leaves), now_ms, expires_ms]
    header = sign_document(secret, "sotto/2 prekey batch", fields)
    return {
        "address": name,
        "identity": identity,
        "device": device,
        "device_secret": secret,
        "certificate": encode(certificate),
        "batch": encode([header, keys]),
        "prekeys": [encode([header, i, key, merkle_proof(leaves, i)]) for i, key in enumerate(keys)],
        "prekey_secrets": secrets,
    }


def verify_device(identity, certificate):
    fields = verify_document(identity, "sotto/2 device certificate", CERTIFICATE, certificate)
    _, _, name, device, key, _ = fields
    return name, device, key


def device_list(identity_secret, name, serial, expires_ms, devices):
    """All devices of a user, [[device id, key point, since ms], ...], signed as a whole."""
    return sign_document(identity_secret, "sotto/2 device list", [2, 1, name, serial, expires_ms, sorted(devices)])


def verify_devices(identity, document):
    fields = verify_document(identity, "sotto/2 device list", DEVICE_LIST, document)
    ids = [device for device, _, _ in fields[5]]
    if not 1 <= len(ids) <= MAX_LISTED_DEVICES or ids != sorted(set(ids)):
        raise Refused("Devices")
    return fields


def verify_retention(policy, document, now_ms):
    fields = verify_document(policy, "sotto/2 retention certificate", RETENTION, document)
    if not fields[5] <= now_ms < fields[6]:
        raise Refused("NotNow")
    return fields


DIRECTORY_HEAD = [U8, domain, U64, U32, octets(32), TIME, TIME]
LISTED = [octets(), U32, many(octets(32))]
CLOCK_TOLERANCE_MS = 5 * 60 * 1000


def document_leaf(label, payload):
    return H(b"\0", label.encode(), b"\0", payload)


def _head_fields(policy, network, document):
    payload, signature = document
    try:
        verify(policy, "sotto/2 directory head", payload, signature)
        fields = decode(payload, DIRECTORY_HEAD)
    except Refused:
        raise Refused("Document") from None
    if fields[0] != 1 or fields[1] != network:
        raise Refused("Document")
    return fields


def verify_head(policy, network, document, seen, now_ms):
    """A directory head, to somebody who has seen another one (or None) of this network: its fields."""
    fields = _head_fields(policy, network, document)
    _, _, serial, _, _, created, expires = fields
    if created > now_ms + CLOCK_TOLERANCE_MS:
        raise Refused("Clock")
    if seen is None:
        if expires <= now_ms:
            raise Refused("Expired")
        return fields
    known = decode(seen[0], DIRECTORY_HEAD)
    if serial < known[2] or (serial == known[2] and fields != known):
        raise Refused("Rollback")
    return fields


def verify_listed(head, label, listed):
    """The payload of a document that the head vouches for."""
    payload, index, proof = listed
    _, _, _, count, root, _, _ = head
    if not merkle_verifies(root, count, index, document_leaf(label, payload), proof):
        raise Refused("Document")
    return payload


def _batch_header(device_key, document):
    header = verify_document(device_key, "sotto/2 prekey batch", BATCH_HEADER, document)
    if not 1 <= header[5] <= MAX_BATCH:
        raise Refused("Count")
    return header


def verify_prekey(identity, certificate, prekey, now_ms):
    """Returns who can be written to with it: address, device, prekey reference, point."""
    name, device, device_key = verify_device(identity, certificate)
    document, index, key, proof = prekey
    _, _, owner, batch, kind, count, root, created, expires = _batch_header(device_key, document)
    if owner != device:
        raise Refused("OtherDevice")
    begin, end, apart = 0, expires, 0
    if kind == 1:
        begin = created + index * WEEK_MS if index > 0 else 0
        end, apart = min(created + (index + 1) * WEEK_MS, expires), APART_MS
    if now_ms + apart < begin:
        raise Refused("NotYet")
    if now_ms >= end + apart:
        raise Refused("Expired")
    if not merkle_verifies(root, count, index, leaf(index, key), proof):
        raise Refused("Proof")
    return name, device, [batch, index], key


def verify_batch(device_key, batch):
    document, keys = batch
    header = _batch_header(device_key, document)
    if header[5] != len(keys):
        raise Refused("Count")
    if merkle_root([leaf(index, key) for index, key in enumerate(keys)]) != header[6]:
        raise Refused("Root")
    return header


# --- 3. Sealing -------------------------------------------------------------------------------------------------------


def hkdf_extract(salt, ikm):
    mac = hmac.HMAC(salt, hashes.SHA512())
    mac.update(ikm)
    return mac.finalize()


def hkdf_expand(prk, info, length):
    return HKDFExpand(hashes.SHA512(), length, info).derive(prk)


def commitment(content_key):
    return hkdf_expand(content_key + bytes(32), b"sotto/2 commitment", 32)


KEM = b"KEM" + struct.pack(">H", 0x0012)
HPKE = b"HPKE" + struct.pack(">HHH", 0x0012, 0x0003, 0x0002)


def labeled_extract(suite, salt, label, ikm):
    return hkdf_extract(salt, b"HPKE-v1" + suite + label + ikm)


def labeled_expand(suite, prk, label, info, length):
    return hkdf_expand(prk, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info, length)


def wrap_key(secret, public, ephemeral, prekey, info):
    """Key and nonce of a wrap, from one secret and the other's public point: either (e, P) or (p, E)."""
    dh = secret_key(secret).exchange(ec.ECDH(), public_key(public))
    shared = labeled_expand(KEM, labeled_extract(KEM, b"", b"eae_prk", dh), b"shared_secret", ephemeral + prekey, 64)
    context = b"\0" + labeled_extract(HPKE, b"", b"psk_id_hash", b"") + labeled_extract(HPKE, b"", b"info_hash", info)
    schedule = labeled_extract(HPKE, shared, b"secret", b"")
    return labeled_expand(HPKE, schedule, b"key", context, 32), labeled_expand(HPKE, schedule, b"base_nonce", context, 12)


def wrap_info(header, name, device, reference):
    _, suite, network, message, sender, sender_device, _, _ = header
    return encode(["sotto/2 wrap", suite, network, message, sender, sender_device, name, device, reference])


def transcript(header, recipients, content):
    return encode(header[1:] + [sha512(encode(recipients)), sha512(content)])


def padme(length):
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    unit = 1 << max(exponent - exponent.bit_length(), 0)
    return -(-length // unit) * unit


def pad(body):
    return (struct.pack(">I", len(body)) + body).ljust(padme(4 + len(body)), b"\0")


def seal(sender, content, recipients):
    """`recipients`: what verify_prekey returned. Returns the header's CBOR, the sealed body, and the wraps' CBOR."""
    assert len(content) <= MAX_CONTENT and 1 <= len(recipients) <= MAX_RECIPIENTS
    recipients = sorted(recipients, key=lambda to: (to[0].encode(), to[1]))
    users = []
    for name, device, _, _ in recipients:
        if not users or users[-1][0] != name:
            users.append([name, []])
        assert device not in users[-1][1], "a device is named twice"
        users[-1][1].append(device)
    content_key, secret = os.urandom(32), new_secret()
    ephemeral = public_of(secret)
    network = sender["address"].split("@")[1]
    header = [2, 1, network, os.urandom(16), sender["address"], sender["device"], ephemeral, commitment(content_key)]
    wraps = []
    for name, device, reference, prekey in recipients:
        key, nonce = wrap_key(secret, prekey, ephemeral, prekey, wrap_info(header, name, device, reference))
        wraps.append(encode([name, device, reference, AESGCM(key).encrypt(nonce, content_key, b"")]))
    signature = sign(sender["device_secret"], "sotto/2 message", transcript(header, users, content))
    certificate = decode(sender["certificate"], SIGNED)
    body = pad(encode([content, users, sender["identity"], certificate, signature]))
    return encode(header), AESGCM(content_key).encrypt(bytes(12), body, encode(header)), wraps


def open_message(header_bytes, body, name, device, reference, secret, wrapped):
    """Returns content, identity, recipients; the caller compares the identity with the one that it has pinned."""
    header = decode(header_bytes, HEADER)
    version, suite, network, _, sender, sender_device, ephemeral, committed = header
    if (version, suite) != (2, 1):
        raise Refused("Unsupported")
    if len(body) > MAX_BODY:
        raise Refused("TooLarge")
    if network != sender.split("@")[1]:
        raise Refused("Unopenable")
    try:
        info = wrap_info(header, name, device, reference)
        key, nonce = wrap_key(secret, ephemeral, ephemeral, public_of(secret), info)
        content_key = AESGCM(key).decrypt(nonce, wrapped, b"")
        if not _same(commitment(content_key), committed):
            raise Refused("Unopenable")
        clear = AESGCM(content_key).decrypt(bytes(12), body, header_bytes)
    except InvalidTag:
        raise Refused("Unopenable") from None
    content, users, identity, certificate, signature = _body(clear)
    try:
        *owner, key = verify_device(identity, certificate)
        if owner != [sender, sender_device]:
            raise Refused("Forged")
        verify(key, "sotto/2 message", transcript(header, users, content), signature)
    except Refused:
        raise Refused("Forged") from None
    if device not in dict(users).get(name, []):
        raise Refused("NotListed")
    return content, identity, users


def _body(clear):
    if len(clear) < 4:
        raise Refused("Unopenable")
    end = 4 + int.from_bytes(clear[:4], "big")
    if end > len(clear) or len(clear) != padme(end) or any(clear[end:]):
        raise Refused("Unopenable")
    try:
        body = decode(clear[4:end], BODY)
    except Refused:
        raise Refused("Unopenable") from None
    if len(body[0]) > MAX_CONTENT:
        raise Refused("Unopenable")
    return body


def _same(a, b):
    import hmac as standard

    return standard.compare_digest(a, b)


# --- attachments ------------------------------------------------------------------------------------------------------


def chunk_nonce(number, last):
    return bytes(7) + struct.pack(">I", number) + bytes([last])


def seal_attachment(clear, key=None):
    key = key or os.urandom(32)
    chunks = [clear[place : place + CHUNK] for place in range(0, len(clear), CHUNK)] or [b""]
    cipher = AESGCM(key)
    return key, b"".join(
        cipher.encrypt(chunk_nonce(number, number + 1 == len(chunks)), chunk, b"") for number, chunk in enumerate(chunks)
    )


def open_attachment(key, sealed):
    chunks = [sealed[place : place + CHUNK + 16] for place in range(0, len(sealed), CHUNK + 16)] or [b""]
    cipher, clear = AESGCM(key), []
    for number, chunk in enumerate(chunks):
        last = number + 1 == len(chunks)
        try:
            part = cipher.decrypt(chunk_nonce(number, last), chunk, b"") if len(chunk) >= 16 else None
        except InvalidTag:
            part = None
        if part is None or (part == b"" and number > 0):
            raise Refused("Unopenable")
        clear.append(part)
    return b"".join(clear)


# --- 8. Vaults and recovery key ---------------------------------------------------------------------------------------

DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def _grouped(digits):
    text = "".join(DIGITS[digit] for digit in digits)
    return "-".join(text[place : place + 5] for place in range(0, len(text), 5))


def _typed(text):
    text = "".join(text.split()).replace("-", "").upper().translate(str.maketrans("OIL", "011"))
    if any(character not in DIGITS for character in text):
        raise Refused("Character")
    return [DIGITS.index(character) for character in text]


def recovery_text(key):
    bits = "".join(f"{byte:08b}" for byte in key + H(b"sotto/2 recovery key", key))[:275]
    return _grouped([int(bits[place : place + 5], 2) for place in range(0, 275, 5)])


def recovery_key(text):
    digits = _typed(text)
    if len(digits) != 55:
        raise Refused("Length")
    key = int("".join(f"{digit:05b}" for digit in digits)[:256], 2).to_bytes(32, "big")
    if _typed(recovery_text(key)) != digits:
        raise Refused("Check")
    return key


# --- 4. Invites ---------------------------------------------------------------------------------------------------------


def _invite_prk(secret):
    return hkdf_extract(b"sotto/2 invite", "".join(DIGITS[digit] for digit in _typed(secret)).encode())


def registration_code(secret):
    return hkdf_expand(_invite_prk(secret), b"registration", 32).hex()


def invite_key(secret):
    for counter in range(256):
        candidate = bytearray(hkdf_expand(_invite_prk(secret), b"key" + bytes([counter]), 66))
        candidate[0] &= 1
        if 0 < int.from_bytes(candidate, "big") < ORDER:
            return bytes(candidate)
    raise Refused("Malformed")


def vault_key(kind, secret):
    return hkdf_expand(hkdf_extract(b"sotto/2 vault", secret), (b"password", b"recovery")[kind], 32)


def _vault_aad(kind, name):
    return encode(["sotto/2 vault", 2, 1, kind, name])


def seal_vault(kind, secret, name, identity_secret):
    nonce = os.urandom(12)
    sealed = AESGCM(vault_key(kind, secret)).encrypt(nonce, identity_secret, _vault_aad(kind, name))
    return encode([2, 1, nonce, sealed])


def open_vault(kind, secret, name, vault):
    try:
        version, suite, nonce, sealed = decode(vault, [U8, U16, octets(12), octets(82)])
    except Refused:
        raise Refused("Decode") from None
    if (version, suite) != (2, 1):
        raise Refused("Unsupported")
    try:
        identity = AESGCM(vault_key(kind, secret)).decrypt(nonce, sealed, _vault_aad(kind, name))
        secret_key(identity)
    except (InvalidTag, Refused):
        raise Refused("Unopenable") from None
    return identity


# --- 9. Adding a device -----------------------------------------------------------------------------------------------


def _times_x(element):
    element <<= 1
    return element ^ 0b100101 if element & 32 else element


def _check_digit(digits):
    total = 0
    for place, digit in enumerate(digits):
        for _ in range(19 - place):
            digit = _times_x(digit)
        total ^= digit
    return total


def new_code():
    digits = [byte & 31 for byte in os.urandom(19)]
    return _grouped(digits + [_check_digit(digits)])


class Link:
    """All that follows from a code; purpose 0: a new device, 1: a history."""

    def __init__(self, text, purpose):
        digits = _typed(text)
        if len(digits) != 20:
            raise Refused("Length")
        if _check_digit(digits[:19]) != digits[19]:
            raise Refused("Check")
        characters = "".join(DIGITS[digit] for digit in digits[:19]).encode()
        self.code, self.purpose = _grouped(digits), purpose
        self.prk = hkdf_extract((b"sotto/2 device link", b"sotto/2 history link")[purpose], characters)
        self.id = self.derive(b"id", 16)

    def derive(self, info, length):
        return hkdf_expand(self.prk, info, length)

    def further(self, number):
        return self.derive(b"more" + struct.pack(">I", number), 16)

    def _seal(self, info, aad, clear):
        nonce = os.urandom(12)
        return nonce + AESGCM(self.derive(info, 32)).encrypt(nonce, clear, encode(aad))

    def _open(self, info, aad, data):
        try:
            return AESGCM(self.derive(info, 32)).decrypt(data[:12], data[12:], encode(aad))
        except (InvalidTag, ValueError):
            raise Refused("Unopenable") from None

    def offer(self, name, device, device_secret, receiver, label, certificate=None):
        """Returns the document and its sealed form; `certificate` decoded."""
        fields = [2, 1, self.purpose, self.id, name, device, public_of(device_secret), receiver, label]
        payload = encode(fields if certificate is None else fields + [certificate])
        document = [payload, sign(device_secret, "sotto/2 link offer", payload)]
        return payload, self._seal(b"offer", ["sotto/2 link offer", self.id], encode(document))

    def open_offer(self, data):
        clear = self._open(b"offer", ["sotto/2 link offer", self.id], data)
        try:
            payload, signature = decode(clear, SIGNED)
            fields = decode_offer(payload)
        except Refused:
            raise Refused("Unopenable") from None
        if fields[:2] != [2, 1]:
            raise Refused("Unsupported")
        try:
            verify(fields[6], "sotto/2 link offer", payload, signature)
        except Refused:
            raise Refused("Forged") from None
        if fields[2:4] != [self.purpose, self.id]:
            raise Refused("Forged")
        return payload

    def _answer_info(self, payload):
        fields = decode_offer(payload)
        return encode(["sotto/2 link answer", 1, self.purpose, self.id, fields[4], fields[5], H(payload)])

    def _schedule(self, secret, public, enc, receiver, info):
        dh = secret_key(secret).exchange(ec.ECDH(), public_key(public))
        shared = labeled_expand(KEM, labeled_extract(KEM, b"", b"eae_prk", dh), b"shared_secret", enc + receiver, 64)
        context = b"\1" + labeled_extract(HPKE, b"", b"psk_id_hash", self.id) + labeled_extract(HPKE, b"", b"info_hash", info)
        schedule = labeled_extract(HPKE, shared, b"secret", self.derive(b"psk", 32))
        return labeled_expand(HPKE, schedule, b"key", context, 32), labeled_expand(HPKE, schedule, b"base_nonce", context, 12)

    def answer(self, payload, clear):
        secret, receiver = new_secret(), decode_offer(payload)[7]
        key, nonce = self._schedule(secret, receiver, public_of(secret), receiver, self._answer_info(payload))
        return encode([2, 1, public_of(secret), AESGCM(key).encrypt(nonce, clear, b"")])

    def open_answer(self, secret, payload, data):
        try:
            version, suite, enc, sealed = decode(data, [U8, U16, point, octets()])
        except Refused:
            raise Refused("Unopenable") from None
        if (version, suite) != (2, 1):
            raise Refused("Unsupported")
        key, nonce = self._schedule(secret, enc, enc, public_of(secret), self._answer_info(payload))
        try:
            return AESGCM(key).decrypt(nonce, sealed, b"")
        except (InvalidTag, ValueError):
            raise Refused("Unopenable") from None

    def open_device(self, secret, payload, data):
        identity = self.open_answer(secret, payload, data)
        try:
            secret_key(identity)
        except Refused:
            raise Refused("Unopenable") from None
        return identity

    def note(self, slot, number):
        return self._seal(b"note", ["sotto/2 link note", self.id, slot], encode(number))

    def open_note(self, slot, data):
        try:
            return decode(self._open(b"note", ["sotto/2 link note", self.id, slot], data), U64)
        except Refused:
            raise Refused("Unopenable") from None

    # --- 10. History transfer

    def history_answer(self, payload, file_key, name, device, device_secret, certificate, label, size, digest, records):
        document = encode([2, 1, self.id, name, device, certificate, label, size, digest, records])
        signed = [document, sign(device_secret, "sotto/2 history answer", document)]
        return self.answer(payload, encode([file_key, signed]))

    def open_history(self, secret, payload, identity, data):
        clear = self.open_answer(secret, payload, data)
        try:
            file_key, (document, signature) = decode(clear, [octets(32), SIGNED])
            fields = decode(document, [U8, U16, ID, address, ID, SIGNED, text, U64, octets(32), U64])
        except Refused:
            raise Refused("Unopenable") from None
        if fields[:2] != [2, 1]:
            raise Refused("Unsupported")
        try:
            name, device, key = verify_device(identity, fields[5])
            verify(key, "sotto/2 history answer", document, signature)
        except Refused:
            raise Refused("Forged") from None
        owner = decode_offer(payload)[4]
        if [name, device] != [owner, fields[4]] or fields[2:4] != [self.id, owner]:
            raise Refused("Forged")
        return file_key, document


def text(value):
    _is(isinstance(value, str))
    return value


def decode_offer(payload):
    """The fields of an offer; the certificate is left out where there is none."""
    schema = [U8, U16, _kind, ID, address, ID, point, point, text]
    try:
        return decode(payload, schema)
    except Refused as refusal:
        if refusal.kind != "NotDeterministic":
            raise
        return decode(payload, schema + [SIGNED])
