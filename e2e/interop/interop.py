"""Two implementations of the protocol, and two HPKE receivers that we did not write, against each other.

    interop.py RUST_PROGRAM...      each is crypto/examples/interop.rs, built with one implementation of the primitives

Everything that one makes, the others take; what is wrong, all refuse for the same reason. Run by run.sh.
"""

import json
import pathlib
import random
import subprocess
import sys
import time

import pyhpke
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec

import sotto

VECTORS = pathlib.Path(__file__).resolve().parents[2] / "crypto" / "vectors"
NOW = 1_700_000_000_000
ENDS = NOW + 86_400_000
MESSAGES = 12


def raw(text):
    return bytes.fromhex(text)


class Python:
    """The operations of crypto/examples/interop.rs, by sotto.py."""

    name = "python"

    def ask(self, op, **fields):
        try:
            return getattr(self, op)(**fields)
        except sotto.Refused as refusal:
            return {"error": refusal.kind}

    def device(self, address, identity_secret, count, now_ms, expires_ms):
        made = sotto.new_device(address, raw(identity_secret), count, now_ms, expires_ms)

        def hexed(value):
            if isinstance(value, list):
                return [hexed(item) for item in value]
            return value.hex() if isinstance(value, bytes) else value

        return {name: hexed(value) for name, value in made.items()}

    @staticmethod
    def _recipient(identity, certificate, prekey, now_ms):
        sotto.public_key(raw(identity))
        certificate = sotto.decode(raw(certificate), sotto.SIGNED)
        return sotto.verify_prekey(raw(identity), certificate, sotto.decode(raw(prekey), sotto.PREKEY), now_ms)

    def check_prekey(self, **fields):
        return {"index": self._recipient(**fields)[2][1]}

    def check_batch(self, device_key, batch):
        return {"count": sotto.verify_batch(raw(device_key), sotto.decode(raw(batch), sotto.BATCH))[5]}

    def seal(self, sender, content, recipients, now_ms):
        names = ("device", "device_secret", "identity", "certificate")
        me = {"address": sender["address"]} | {name: raw(sender[name]) for name in names}
        to = [self._recipient(**recipient, now_ms=now_ms) for recipient in recipients]
        header, body, wraps = sotto.seal(me, raw(content), to)
        return {"header": header.hex(), "body": body.hex(), "wraps": [wrap.hex() for wrap in wraps]}

    def open(self, header, body, wrap, prekey_secret):
        sotto.decode(raw(header), sotto.HEADER)
        name, device, reference, wrapped = sotto.decode(raw(wrap), sotto.WRAP)
        sotto.secret_key(raw(prekey_secret))
        content, identity, users = sotto.open_message(
            raw(header), raw(body), name, device, reference, raw(prekey_secret), wrapped
        )
        return {"content": content.hex(), "identity": identity.hex(), "recipients": sotto.encode(users).hex()}

    def names(self, a, b):
        number = sotto.safety_number(a["address"], raw(a["identity"]), b["address"], raw(b["identity"]))
        return {"fingerprint": sotto.fingerprint("identity", raw(a["identity"])), "safety_number": number}

    def seal_attachment(self, clear):
        key, sealed = sotto.seal_attachment(raw(clear))
        return {"key": key.hex(), "sealed": sealed.hex()}

    def open_attachment(self, key, sealed):
        return {"clear": sotto.open_attachment(raw(key), raw(sealed)).hex()}

    def seal_vault(self, kind, secret, address, identity_secret):
        return {"vault": sotto.seal_vault(kind, raw(secret), address, raw(identity_secret)).hex()}

    def open_vault(self, kind, secret, address, vault):
        return {"identity_secret": sotto.open_vault(kind, raw(secret), address, raw(vault)).hex()}

    def recovery_key(self, text):
        return {"text": sotto.recovery_text(sotto.recovery_key(text))}

    def new_code(self):
        return {"code": sotto.new_code()}

    def link(self, code, purpose):
        link = sotto.Link(code, purpose)
        return {"code": link.code, "link": link.id.hex(), "further": link.further(3).hex()}

    def offer(self, code, purpose, device):
        secret = sotto.new_secret()
        certificate = sotto.decode(raw(device["certificate"]), sotto.SIGNED) if purpose else None
        document, sealed = sotto.Link(code, purpose).offer(
            device["address"], raw(device["device"]), raw(device["device_secret"]), sotto.public_of(secret), "laptop", certificate
        )
        return {"document": document.hex(), "offer": sealed.hex(), "receiver_secret": secret.hex()}

    def open_offer(self, code, purpose, offer):
        return {"document": sotto.Link(code, purpose).open_offer(raw(offer)).hex()}

    def answer_device(self, code, document, identity_secret):
        return {"answer": sotto.Link(code, 0).answer(raw(document), raw(identity_secret)).hex()}

    def open_device(self, code, document, receiver_secret, answer):
        link = sotto.Link(code, 0)
        return {"identity_secret": link.open_device(raw(receiver_secret), raw(document), raw(answer)).hex()}

    def answer_history(self, code, document, file_key, device, size, digest, records):
        certificate = sotto.decode(raw(device["certificate"]), sotto.SIGNED)
        answer = sotto.Link(code, 1).history_answer(
            raw(document), raw(file_key), device["address"], raw(device["device"]), raw(device["device_secret"]), certificate,
            "phone", size, raw(digest), records,
        )
        return {"answer": answer.hex()}

    def open_history(self, code, document, receiver_secret, identity, answer):
        link = sotto.Link(code, 1)
        key, said = link.open_history(raw(receiver_secret), raw(document), raw(identity), raw(answer))
        return {"file_key": key.hex(), "answer_document": said.hex()}

    def note(self, code, slot, note):
        return {"sealed": sotto.Link(code, 1).note(slot, note).hex()}

    def open_note(self, code, slot, sealed):
        return {"note": sotto.Link(code, 1).open_note(slot, raw(sealed))}


class Rust:
    """The library, in a process of its own."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.name = "rust with " + self.ask("about")["implementation"]

    def ask(self, op, **fields):
        self.process.stdin.write(json.dumps({"op": op, **fields}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the program has ended: {op}"
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(10) == 0


def stranger_opens(wrap, header, prekey_secret):
    """The wrap opens with HPKE receivers that we did not write, and both give the same content key."""
    _, suite, network, message, sender, sender_device, ephemeral, committed = sotto.decode(raw(header), sotto.HEADER)
    name, device, reference, wrapped = sotto.decode(raw(wrap), sotto.WRAP)
    info = sotto.encode(["sotto/2 wrap", suite, network, message, sender, sender_device, name, device, reference])

    theirs = pyhpke.CipherSuite.new(
        pyhpke.KEMId.DHKEM_P521_HKDF_SHA512, pyhpke.KDFId.HKDF_SHA512, pyhpke.AEADId.AES256_GCM
    )
    key = pyhpke.KEMKey.from_pyca_cryptography_key(ec.derive_private_key(int(prekey_secret, 16), ec.SECP521R1()))
    content_key = theirs.create_recipient_context(ephemeral, key, info=info).open(wrapped)

    suite = hpke.Suite(hpke.KEM.P521, hpke.KDF.HKDF_SHA512, hpke.AEAD.AES_256_GCM)
    secret = ec.derive_private_key(int(prekey_secret, 16), ec.SECP521R1())
    assert suite.decrypt(ephemeral + wrapped, secret, info) == content_key
    assert sotto.commitment(content_key) == committed
    try:
        suite.decrypt(ephemeral + wrapped, secret, info + b"\0")
        raise AssertionError("a wrap opened with another info")
    except InvalidTag:
        pass


def agree(parties, op, **fields):
    """All say the same; returns what they say."""
    answers = {party.name: party.ask(op, **fields) for party in parties}
    first, *rest = answers.values()
    assert all(answer == first for answer in rest), f"{op}: {json.dumps(answers, indent=1)[:3000]}"
    return first


def conversations(parties, chance):
    """Devices made by every party write to each other; every party opens everything, and so do strangers."""
    devices = []
    for number, party in enumerate(parties):
        for user in (f"user{number}@a.example", f"user{number}@net-{number}.b.example"):
            secret = sotto.new_secret().hex()
            for _ in range(2):
                made = party.ask("device", address=user, identity_secret=secret, count=3, now_ms=NOW, expires_ms=ENDS)
                devices.append(made)
                device_key = sotto.decode(sotto.decode(raw(made["certificate"]), sotto.SIGNED)[0], sotto.CERTIFICATE)[4]
                assert agree(parties, "check_batch", device_key=device_key.hex(), batch=made["batch"]) == {"count": 3}
    for _ in range(MESSAGES):
        for party in parties:
            message(parties, party, devices, chance)


def message(parties, party, devices, chance):
    sender, *others = chance.sample(devices, len(devices))
    others = others[: chance.choice((1, 2, 5))]
    indices = [chance.randrange(3) for _ in others]
    to = [
        {"identity": other["identity"], "certificate": other["certificate"], "prekey": other["prekeys"][index]}
        for other, index in zip(others, indices)
    ]
    content = chance.randbytes(chance.choice((0, 1, 100, 1024, 69_632)))
    sealed = party.ask("seal", sender=sender, content=content.hex(), recipients=to, now_ms=NOW)
    assert "error" not in sealed, sealed
    wraps = {sotto.decode(raw(wrap), sotto.WRAP)[1].hex(): wrap for wrap in sealed["wraps"]}
    assert len(wraps) == len(others)
    for other, index in zip(others, indices):
        secret, wrap = other["prekey_secrets"][index], wraps[other["device"]]
        good = {"header": sealed["header"], "body": sealed["body"], "wrap": wrap, "prekey_secret": secret}
        opened = agree(parties, "open", **good)
        assert opened["content"] == content.hex() and opened["identity"] == sender["identity"]
        stranger_opens(wrap, sealed["header"], secret)
        # One byte changed anywhere: the same refusal by everybody.
        part = chance.choice(("header", "body", "wrap"))
        changed = bytearray(raw(good[part]))
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        answer = agree(parties, "open", **good | {part: changed.hex()})
        assert "error" in answer, (part, answer)
    number = agree(parties, "names", a=sender, b=others[0])["safety_number"]
    assert number == agree(parties, "names", a=others[0], b=sender)["safety_number"] and len(number) == 71


def attachments(parties, chance):
    for party in parties:
        for length in (0, 1, 65_535, 65_536, 65_537, 200_000):
            clear = chance.randbytes(length)
            sealed = party.ask("seal_attachment", clear=clear.hex())
            assert agree(parties, "open_attachment", **sealed) == {"clear": clear.hex()}
            whole = raw(sealed["sealed"])
            for cut in {0, len(whole) - 1, len(whole) // 65_552 * 65_552} - {len(whole)}:
                answer = agree(parties, "open_attachment", key=sealed["key"], sealed=whole[:cut].hex())
                assert answer == {"error": "Unopenable"}, (length, cut)


def devices(parties, chance):
    """Vaults, links and histories made by every party: every party opens them, and refuses what was changed for the same reason."""
    name, secret = "alice@a.example", sotto.new_secret().hex()
    identity = sotto.public_of(raw(secret)).hex()

    def changed(hexed):
        data = bytearray(raw(hexed))
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        return data.hex()

    for party in parties:
        make = lambda: party.ask("device", address=name, identity_secret=secret, count=1, now_ms=NOW, expires_ms=ENDS)
        old, new = make(), make()
        for kind, length in ((0, 64), (1, 32)):
            key = chance.randbytes(length).hex()
            vault = party.ask("seal_vault", kind=kind, secret=key, address=name, identity_secret=secret)["vault"]
            fields = {"kind": kind, "secret": key, "address": name}
            assert agree(parties, "open_vault", vault=vault, **fields) == {"identity_secret": secret}
            assert "error" in agree(parties, "open_vault", vault=changed(vault), **fields)
        shown = sotto.recovery_text(chance.randbytes(32))
        assert agree(parties, "recovery_key", text=shown.lower().replace("-", " ")) == {"text": shown}
        code = party.ask("new_code")["code"]
        for purpose in (0, 1):
            assert agree(parties, "link", code=code.lower().replace("0", "o").replace("1", "l"), purpose=purpose)["code"] == code
        # One wrong digit is always caught; other mistakes, such as all digits in reverse, only 31 times in 32.
        wrong = ("2" if code[0] == "3" else "3") + code[1:]
        assert "error" in agree(parties, "link", code=wrong, purpose=0)

        offer = party.ask("offer", code=code, purpose=0, device=new)
        document, receiver = offer["document"], offer["receiver_secret"]
        assert agree(parties, "open_offer", code=code, purpose=0, offer=offer["offer"]) == {"document": document}
        assert agree(parties, "open_offer", code=code, purpose=1, offer=offer["offer"]) == {"error": "Unopenable"}
        assert "error" in agree(parties, "open_offer", code=code, purpose=0, offer=changed(offer["offer"]))
        for other in parties:
            answer = other.ask("answer_device", code=code, document=document, identity_secret=secret)["answer"]
            fields = {"code": code, "document": document, "receiver_secret": receiver}
            assert agree(parties, "open_device", answer=answer, **fields) == {"identity_secret": secret}
            assert "error" in agree(parties, "open_device", answer=changed(answer), **fields)

        offer = party.ask("offer", code=code, purpose=1, device=new)
        document, receiver = offer["document"], offer["receiver_secret"]
        assert agree(parties, "open_offer", code=code, purpose=1, offer=offer["offer"]) == {"document": document}
        for other in parties:
            key, digest = chance.randbytes(32).hex(), chance.randbytes(32).hex()
            about = {"file_key": key, "device": old, "size": 70_000, "digest": digest, "records": 10_000}
            answer = other.ask("answer_history", code=code, document=document, **about)["answer"]
            fields = {"code": code, "document": document, "receiver_secret": receiver}
            assert agree(parties, "open_history", identity=identity, answer=answer, **fields)["file_key"] == key
            stranger = sotto.public_of(sotto.new_secret()).hex()
            assert agree(parties, "open_history", identity=stranger, answer=answer, **fields) == {"error": "Forged"}
            assert "error" in agree(parties, "open_history", identity=identity, answer=changed(answer), **fields)
            note = other.ask("note", code=code, slot=2, note=1)["sealed"]
            assert agree(parties, "open_note", code=code, slot=2, sealed=note) == {"note": 1}
            assert agree(parties, "open_note", code=code, slot=3, sealed=note) == {"error": "Unopenable"}


# --- the vectors, by the Python implementation ------------------------------------------------------------------------


def read(name):
    return json.loads((VECTORS / f"{name}.json").read_text())


def vectors():
    derivation()
    prekeys()
    device_list()
    directory()
    message_vector()
    device_vectors()
    long = attachment_vectors()
    return refusals(long)


def derivation():
    vector = read("derivation")
    for key in vector["keys"]:
        assert sotto.public_of(raw(key["secret"])).hex() == key["public"]
    part = vector["commitment"]
    assert sotto.commitment(raw(part["content_key"])).hex() == part["commitment"]
    part = vector["wrap"]
    ephemeral, prekey, info = raw(part["ephemeral"]), raw(part["prekey"]), raw(part["info"])
    for secret, public in ((part["ephemeral_secret"], prekey), (part["prekey_secret"], ephemeral)):
        key, nonce = sotto.wrap_key(raw(secret), public, ephemeral, prekey, info)
        assert (key.hex(), nonce.hex()) == (part["key"], part["base_nonce"])
    assert sotto.AESGCM(key).encrypt(nonce, raw(part["content_key"]), b"").hex() == part["wrap"]
    part = vector["signature"]
    sotto.verify(raw(part["public"]), part["label"], raw(part["message"]), raw(part["signature"]))
    for part in vector["fingerprints"]:
        assert sotto.fingerprint(part["role"], raw(part["key"])) == part["fingerprint"]
    a, b = vector["safety_number"]["a"], vector["safety_number"]["b"]
    number = sotto.safety_number(a["address"], raw(a["identity"]), b["address"], raw(b["identity"]))
    assert number == vector["safety_number"]["number"]
    for part in vector["padding"]:
        assert sotto.padme(part["length"]) == part["padded"]


def device_list():
    vector = read("device_list")
    there = vector["list"]
    listed = [[raw(one["device"]), raw(one["device_key"]), one["since_ms"]] for one in there["devices"]]
    fields = sotto.verify_devices(raw(vector["identity"]), sotto.decode(raw(vector["document"]), sotto.SIGNED))
    assert fields == [2, 1, there["address"], there["serial"], there["expires_at_ms"], listed]
    ours = sotto.device_list(raw(vector["identity_secret"]), there["address"], there["serial"], there["expires_at_ms"], listed[::-1])
    assert ours[0] == raw(vector["payload"])
    sotto.verify_devices(raw(vector["identity"]), ours)


def directory():
    vector = read("directory")
    policy, member = raw(vector["policy_key"]), vector["member"]
    network = member.split("@")[1]
    for case in vector["cases"]:
        head = sotto.decode(raw(case["head"]), sotto.SIGNED)
        seen = case["seen"] and sotto.decode(raw(case["seen"]), sotto.SIGNED)
        listed = sotto.decode(raw(case["membership"]), sotto.LISTED)
        try:
            fields = sotto.verify_head(policy, network, head, seen, case["now_ms"])
            payload = sotto.verify_listed(fields, "sotto/2 membership document", listed)
            version, _, name = sotto.decode_first(payload, 3)
            result = "ok" if (version, name) == (1, member) else "Document"
        except sotto.Refused as refused:
            result = refused.args[0]
        assert result == case["result"], f"{case['name']}: {result}"


def prekeys():
    vector = read("prekeys")
    identity = raw(vector["device"]["identity"])
    certificate = sotto.decode(raw(vector["device"]["certificate"]), sotto.SIGNED)
    header = sotto.verify_batch(
        raw(vector["device"]["device_key"]), sotto.decode(raw(vector["batch"]), sotto.BATCH)
    )
    assert header[6].hex() == vector["header"]["root"]
    leaves = [raw(key["leaf"]) for key in vector["keys"]]
    for key in vector["keys"]:
        assert sotto.leaf(key["index"], raw(key["public"])).hex() == key["leaf"]
        assert [node.hex() for node in sotto.merkle_proof(leaves, key["index"])] == key["proof"]
        prekey = sotto.decode(raw(key["prekey"]), sotto.PREKEY)
        sotto.verify_prekey(identity, certificate, prekey, vector["now_ms"])
    for week in vector["weeks"]:
        prekey = sotto.decode(raw(week["prekey"]), sotto.PREKEY)
        for now_ms in (week["first_ms"], week["last_ms"]):
            sotto.verify_prekey(identity, certificate, prekey, now_ms)


def message_vector():
    vector = read("message")
    for to in vector["recipients"]:
        content, identity, users = sotto.open_message(
            raw(vector["header"]), raw(vector["body"]), to["address"], raw(to["device"]), [raw(to["batch"]), to["index"]],
            raw(to["prekey_secret"]), raw(to["wrap"]),
        )
        assert content.hex() == vector["content"] and identity.hex() == vector["sender"]["identity"]
        assert sotto.encode(users).hex() == vector["recipient_list"]


def device_vectors():
    vector = read("vault")
    assert sotto.recovery_text(raw(vector["recovery"]["secret"])) == vector["recovery_key"]
    assert sotto.recovery_key(vector["recovery_key"]).hex() == vector["recovery"]["secret"]
    for part in (vector["password"], vector["recovery"]):
        kind, secret = part["kind"], raw(part["secret"])
        assert sotto.vault_key(kind, secret).hex() == part["key"]
        assert sotto.open_vault(kind, secret, part["address"], raw(part["vault"])).hex() == part["identity_secret"]
    for name in ("link", "history"):
        vector = read(name)
        link = sotto.Link(vector["code"], vector["purpose"])
        names = {"offer_key": b"offer", "note_key": b"note", "psk": b"psk"}
        assert all(link.derive(info, 32).hex() == vector[field] for field, info in names.items())
        assert (link.prk.hex(), link.id.hex(), link.further(1).hex()) == tuple(
            vector[field] for field in ("prk", "link", "further_link_1")
        )
        document, secret = link.open_offer(raw(vector["offer"])), raw(vector["receiver_secret"])
        assert document.hex() == vector["offer_document"] and link._answer_info(document).hex() == vector["answer_info"]
        if name == "link":
            assert link.open_device(secret, document, raw(vector["answer"])).hex() == vector["device"]["identity_secret"]
            continue
        identity = raw(vector["device"]["identity"])
        key, said = link.open_history(secret, document, identity, raw(vector["answer"]))
        assert said.hex() == vector["answer_document"] and key.hex() == vector["file_key"]
        assert sotto.open_attachment(key, raw(vector["file"])).hex() == vector["clear_file"]
        for note in vector["notes"]:
            assert link.open_note(note["slot"], raw(note["sealed"])) == note["note"]


def attachment_vectors():
    vector = read("attachment")
    for name in ("short", "empty"):
        assert sotto.open_attachment(raw(vector[name]["key"]), raw(vector[name]["sealed"])).hex() == vector[name]["clear"]
        assert sotto.seal_attachment(raw(vector[name]["clear"]), raw(vector[name]["key"]))[1].hex() == vector[name]["sealed"]
    clear = bytes(place % 251 for place in range(vector["long"]["clear_length"]))
    _, sealed = sotto.seal_attachment(clear, raw(vector["long"]["key"]))
    assert sotto.H(sealed).hex() == vector["long"]["sealed_digest"]
    return {"short": raw(vector["short"]["sealed"]), "long": sealed}


def refusals(attachments_by_name):
    keys = {name: raw(part["key"]) for name, part in read("attachment").items()}
    cases = read("refusals")
    for case in cases:
        try:
            judge(case, attachments_by_name, keys)
            said = "nothing"
        except sotto.Refused as refusal:
            said = refusal.kind
        assert said == case["kind"], f"{case['input']}: {case['name']}: {said}, not {case['kind']}"
    return len(cases)


def judge(case, attachments_by_name, keys):
    signed = lambda name: sotto.decode(raw(case[name]), sotto.SIGNED)
    match case["input"]:
        case "point":
            sotto.public_key(raw(case["bytes"]))
        case "scalar":
            sotto.secret_key(raw(case["bytes"]))
        case "signature":
            sotto.verify(raw(case["key"]), case["label"], raw(case["message"]), raw(case["signature"]))
        case "header":
            sotto.decode(raw(case["bytes"]), sotto.HEADER)
        case "certificate":
            sotto.verify_device(raw(case["identity"]), signed("document"))
        case "device list":
            sotto.verify_devices(raw(case["identity"]), signed("document"))
        case "retention certificate":
            sotto.verify_retention(raw(case["policy"]), signed("document"), case["now_ms"])
        case "prekey":
            prekey = sotto.decode(raw(case["prekey"]), sotto.PREKEY)
            sotto.verify_prekey(raw(case["identity"]), signed("certificate"), prekey, case["now_ms"])
        case "prekey batch":
            sotto.verify_batch(raw(case["device_key"]), sotto.decode(raw(case["batch"]), sotto.BATCH))
        case "message":
            sotto.open_message(
                raw(case["header"]), raw(case["body"]), case["address"], raw(case["device"]), [raw(case["batch"]), case["index"]],
                raw(case["prekey_secret"]), raw(case["wrap"]),
            )
        case "attachment":
            sotto.open_attachment(keys[case["of"]], edited(attachments_by_name[case["of"]], case["edit"]))
        case "link code":
            sotto.Link(case["text"], 0)
        case "recovery key":
            sotto.recovery_key(case["text"])
        case "vault":
            sotto.open_vault(0, raw(case["export_key"]), case["address"], raw(case["vault"]))
        case "link offer":
            sotto.Link(case["code"], case["purpose"]).open_offer(raw(case["bytes"]))
        case "link answer":
            link = sotto.Link(case["code"], 0)
            link.open_device(raw(case["receiver_secret"]), raw(case["offer_document"]), raw(case["bytes"]))
        case "history answer":
            link, identity = sotto.Link(case["code"], 1), raw(case["identity"])
            link.open_history(raw(case["receiver_secret"]), raw(case["offer_document"]), identity, raw(case["bytes"]))
        case "link note":
            sotto.Link(case["code"], 1).open_note(case["slot"], raw(case["bytes"]))
        case other:
            raise AssertionError(f"what is a {other}?")


def edited(sealed, edit):
    chunks = [sealed[place : place + 65_552] for place in range(0, len(sealed), 65_552)]
    ((what, value),) = edit.items()
    if what == "cut_to":
        return sealed[:value]
    if what == "flip":
        return sealed[:value] + bytes([sealed[value] ^ 1]) + sealed[value + 1 :]
    if what == "append":
        return sealed + raw(value)
    if what == "swap_chunks":
        chunks[0], chunks[1] = chunks[1], chunks[0]
    elif what == "repeat_chunk":
        chunks.insert(value, chunks[value])
    elif what == "remove_chunk":
        del chunks[value]
    return b"".join(chunks)


def main():
    start = time.monotonic()
    print(f"python: {vectors()} refusals and all other vectors agree")
    programs = [Rust(program) for program in sys.argv[1:]]
    assert programs, "usage: interop.py RUST_PROGRAM..."
    names = sorted(program.name for program in programs)
    assert len(set(names)) == len(names), f"one implementation against itself: {names}"
    parties = [Python(), *programs]
    seed = random.randrange(1 << 32)
    print(f"{', '.join(party.name for party in parties)}; seed {seed}")
    chance = random.Random(seed)
    conversations(parties, chance)
    print(f"{MESSAGES * len(parties)} messages: each opened by all, wraps also by pyhpke and cryptography's HPKE")
    attachments(parties, chance)
    print("attachments: each opened by all")
    devices(parties, chance)
    print("vaults, links and histories: each opened by all")
    for program in programs:
        program.close()
    print(f"interop: passed in {time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    main()
