"""Section 6 of docs/protocol.md in Python: what a room's events come to. Written from that page, not from the Rust code.

    rooms.py [VECTORS]      compares with crypto/vectors/room.json, with the events in many orders; needs no packages
"""

import hashlib
import json
import pathlib
import random
import sys

MAX_MEMBERS, MAX_PARENTS, MAX_EVENTS, BUDGET = 500, 32, 10_000, 2_000_000
CREATE, ADD, REMOVE, LEAVE, MODERATOR, TITLE, DESCRIPTION, EXPIRY, BURN, CLOSE = range(10)
PLAIN = object()


def cbor(data, at=0):
    """One item of the one encoding, and where it ends. The payloads of the vectors are known to be of that form."""
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        return {20: False, 21: True, 22: None}[info], at
    if info >= 24:
        size = 1 << info - 24
        info, at = int.from_bytes(data[at : at + size], "big"), at + size
    if major == 0:
        return info, at
    if major in (2, 3):
        piece = data[at : at + info]
        return (piece if major == 2 else piece.decode()), at + info
    items = []
    for _ in range(info):
        item, at = cbor(data, at)
        items.append(item)
    return items, at


class Event:
    def __init__(self, payload):
        fields = cbor(payload)[0]
        _, self.room, self.parents, self.author, _, _, (self.kind, self.what) = fields
        self.name = hashlib.new("sha512_256", b"sotto/2 room event\0" + payload).digest()
        self.room = self.room or self.name

    def cost(self):
        people = {CREATE: lambda: len(self.what[0][2]), MODERATOR: lambda: 1}.get(self.kind, lambda: 0)
        return 1 + (len(self.what[0]) if self.kind in (ADD, REMOVE) else people())

    def takes_in(self):
        if self.kind == CREATE:
            return [self.author, *self.what[0][2]]
        return self.what[0] if self.kind == ADD else []


def log(room, events):
    """The events that are in the room: by name, with ancestors and depth."""
    waiting = {event.name: event for event in events if event.room == room}
    there = {}
    while True:
        ready = [e for e in waiting.values() if all(parent in there for parent in e.parents)]
        if not ready:
            return there
        for event in ready:
            del waiting[event.name]
            parents = [there[parent] for parent in event.parents]
            event.ancestors = set(event.parents).union(*(parent.ancestors for parent in parents))
            event.depth = max((parent.depth + 1 for parent in parents), default=0)
            known = event.kind == CREATE or any(event.author in there[name].takes_in() for name in event.ancestors)
            if known and len(there) < MAX_EVENTS:
                there[event.name] = event


def look(there, order, overruled):
    """A pass: the state, and for each event that counts since when its author was a moderator (or PLAIN)."""
    room = {"title": "", "description": "", "expires_in_s": None, "burn_after_read_s": None, "closed": False}
    members, moderators, counted = {}, {}, {}

    def outranks(author, who):
        return who not in moderators or moderators[author] < moderators[who]

    for place, event in enumerate(order):
        author = event.author
        if event.name in overruled:
            continue
        over = any(there[name].kind == CLOSE and name in counted for name in event.ancestors)
        may = {CREATE: not members, LEAVE: author in members}.get(event.kind, author in moderators and not over)
        if not may:
            continue
        counted[event.name] = moderators.get(author, PLAIN)
        what = event.what
        if event.kind == CREATE:
            _, room["title"], people, leads, room["expires_in_s"], room["burn_after_read_s"] = what[0] + [None] * (6 - len(what[0]))
            for n, who in enumerate([author, *people]):
                members[who] = (place, n)
                if n == 0 or who in leads:
                    moderators[who] = (place, n)
        elif event.kind == ADD:
            for n, who in enumerate(what[0]):
                if len(members) < MAX_MEMBERS:
                    members.setdefault(who, (place, n))
        elif event.kind == REMOVE:
            for who in what[0]:
                # Nobody outranks themselves, nor anybody once they are gone.
                if who in members and who != author and outranks(author, who):
                    del members[who]
                    moderators.pop(who, None)
        elif event.kind == LEAVE:
            del members[author]
            moderators.pop(author, None)
        elif event.kind == MODERATOR and what[1]:
            if what[0] in members:
                moderators.setdefault(what[0], (place, 0))
        elif event.kind == MODERATOR:
            if what[0] == author or outranks(author, what[0]):
                moderators.pop(what[0], None)
        elif event.kind == CLOSE:
            room["closed"] = True
        else:
            field = {TITLE: "title", DESCRIPTION: "description", EXPIRY: "expires_in_s", BURN: "burn_after_read_s"}
            room[field[event.kind]] = what[0] if what else None
        if members and not moderators:
            moderators[min(members, key=members.get)] = (place, 0)
    return {**room, "members": sorted(members, key=members.get), "moderators": sorted(moderators, key=moderators.get)}, counted


def overrules(r, e, counted):
    if r is e or r.name in e.ancestors or e.name in r.ancestors:
        return False
    since, of = counted[r.name], counted[e.name]
    if since is PLAIN:
        return False
    later = of is PLAIN or since < of
    own = e.author == r.author
    if r.kind == REMOVE:
        return e.author in r.what[0] and not own and later
    if r.kind == LEAVE or (r.kind == MODERATOR and not r.what[1] and r.what[0] == r.author):
        return own and e.kind != LEAVE and of == since
    if r.kind == MODERATOR and not r.what[1]:
        return e.author == r.what[0] and e.kind != LEAVE and later
    return False


def resolve(room, payloads):
    there = log(room, [Event(payload) for payload in payloads])
    order = sorted(there.values(), key=lambda event: (event.depth, event.name))
    overruled = set()
    bills = {}
    for event in order:
        bills[event.author] = bills.get(event.author, 0) + event.cost()
    one_pass = spent = sum(bills.values())
    stopped = False
    while True:
        state, counted = look(there, order, overruled)
        acts = [event for event in order if event.name in counted]
        hits = [(r, [e for e in acts if overrules(r, e, counted)]) for r in acts]
        hits = [(r, hit) for r, hit in hits if hit]
        stopped = bool(hits) and spent >= BUDGET
        if not hits or stopped:
            break
        first = min(hits, key=lambda pair: (counted[pair[0].name], order.index(pair[0])))
        overruled |= {event.name for event in first[1]}
        spent += one_pass
        bills[first[1][0].author] += one_pass
    under = set().union(*(event.ancestors for event in acts)) if acts else set()
    heads = [event.name for event in acts if event.name not in under][-MAX_PARENTS:]
    state["stopped_by"] = min(bills, key=lambda who: (-bills[who], who.encode())) if stopped else None
    state["heads"] = [name.hex() for name in sorted(heads)]
    state["counted"] = [event.name.hex() for event in acts]
    return state


def check(path):
    rooms = json.loads(path.read_text())["rooms"]
    chance = random.Random(6)
    for case in rooms:
        payloads = [bytes.fromhex(text) for text in case["events"]]
        for _ in range(20):
            chance.shuffle(payloads)
            state = resolve(bytes.fromhex(case["room"]), payloads)
            for field, value in state.items():
                assert case[field] == value, (case["name"], field, value, case[field])
    return len(rooms)


if __name__ == "__main__":
    default = pathlib.Path(__file__).resolve().parents[2] / "crypto" / "vectors" / "room.json"
    count = check(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default)
    assert count, "no rooms in the vectors"
    print(f"interop: {count} rooms come to the same in Python, in 20 orders each")
