//! `crypto/vectors/room.json`: rooms as their events' payloads, with what they come to. Written by
//! `SOTTO_WRITE_VECTORS=1 cargo test --release -p sotto-client --lib rooms::tests::vectors`; otherwise compared. The Python
//! implementation in `e2e/interop` computes the same from docs/protocol.md alone.

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sotto_crypto::{DeviceCertificate, DeviceKey, IdentityKey, Known, Signed, SystemRng, decode_strict};
use sotto_wire::room::RoomChange::{Add, Burn, Close, Description, Expiry, Leave, Moderator, Remove, Title};
use sotto_wire::room::SignedRoomEvent;

use super::super::event::{sign_as, verify};
use super::*;

fn stories() -> Vec<(&'static str, Story)> {
    let title = |text: &str| Title(text.into());
    let mut stories = Vec::new();

    let mut story = Story::new("alice", &["bob", "carol"], &["bob"]);
    story.then("bob", Add(all(&["dave", "erin"])));
    story.then("carol", Leave);
    story.then("alice", Expiry(Some(3600)));
    story.then("bob", Burn(Some(60)));
    story.then("alice", Description("what we do".into()));
    story.then("alice", title("new"));
    story.then("dave", title("dave is no moderator"));
    stories.push(("one after the other", story));

    let mut story = Story::new("alice", &["bob", "carol"], &["bob"]);
    let before = story.then("bob", title("by bob"));
    story.after(&[before], "alice", Remove(all(&["bob"])));
    let fork = story.after(&[before], "bob", Add(all(&["mallory"])));
    let promoted = story.after(&[fork], "bob", Moderator(a("mallory"), true));
    story.after(&[promoted], "mallory", Remove(all(&["alice", "carol"])));
    let early = story.first();
    story.after(&[early], "bob", Leave);
    story.after(&[early], "bob", Close);
    story.then("alice", title("after"));
    stories.push(("a removed moderator forges", story));

    let mut story = Story::new("alice", &["bob", "carol"], &["bob", "carol"]);
    let first = story.first();
    story.after(&[first], "bob", Remove(all(&["carol"])));
    story.after(&[first], "carol", Remove(all(&["bob"])));
    stories.push(("two moderators put each other out", story));

    let mut story = Story::new("alice", &["bob", "carol", "dave"], &[]);
    let first = story.first();
    let of_bob = story.after(&[first], "alice", Moderator(a("bob"), true));
    let of_carol = story.after(&[first], "alice", Moderator(a("carol"), true));
    story.after(&[of_bob], "bob", Remove(all(&["carol", "dave"])));
    story.after(&[of_carol], "carol", Remove(all(&["bob"])));
    story.after(&[of_bob, of_carol], "alice", Moderator(a("bob"), false));
    stories.push(("moderators of the same depth, and one demoted", story));

    let mut story = Story::new("zoe", &["dave"], &[]);
    story.then("zoe", Add(all(&["bob", "carol"])));
    let before = story.resolve().heads;
    story.then("zoe", Leave);
    story.after(&before, "zoe", Remove(all(&["dave"])));
    story.then("dave", Leave);
    story.then("bob", title("bob's"));
    stories.push(("the last moderator leaves", story));

    let mut story = Story::new("alice", &["bob"], &[]);
    let first = story.first();
    let close = story.then("alice", Close);
    story.after(&[close], "alice", title("after"));
    story.after(&[first], "alice", title("beside"));
    story.after(&[close], "bob", Leave);
    let heads = story.resolve().heads;
    let strange = story.after(&heads, "mallory", Leave);
    story.after(&[strange], "alice", Leave);
    stories.push(("closed, with a stranger", story));
    stories
}

fn case(name: &str, story: &Story) -> Value {
    let log = story.log();
    let resolved = resolve(&log);
    let (state, heads) = (resolved.state(), &resolved.heads);
    let id = |id: &EventId| HEXLOWER.encode(id.as_bytes());
    let mut by_seniority: Vec<_> = state.members.iter().map(|(who, m)| (m.since, who.to_string())).collect();
    by_seniority.sort();
    let counts: Vec<String> =
        log.order().iter().filter(|n| resolved.counts(**n)).map(|&n| id(&log.nodes()[n].id)).collect();
    // As they may come: the last first.
    let events: Vec<String> =
        story.events.iter().rev().map(|e| HEXLOWER.encode(&sotto_crypto::encode(&e.event))).collect();
    json!({
        "name": name,
        "room": HEXLOWER.encode(story.room.as_bytes()),
        "events": events,
        "counted": counts,
        "heads": heads.iter().map(id).collect::<Vec<_>>(),
        "title": state.title,
        "description": state.description,
        "members": by_seniority.into_iter().map(|(_, who)| who).collect::<Vec<_>>(),
        "moderators": state.moderators().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "expires_in_s": state.expires_in_s,
        "burn_after_read_s": state.burn_after_read_s,
        "closed": state.closed,
        "stopped_by": resolved.stopped_by.as_ref().map(ToString::to_string),
    })
}

/// One event as it travels.
fn signed() -> Value {
    let (identity, key) = (IdentityKey::generate(&mut SystemRng), DeviceKey::generate(&mut SystemRng));
    let Entry { event, id } = create("alice", &["bob"], &[]);
    let certificate = DeviceCertificate::new(a("alice"), event.device, key.verifying_key(), 1);
    let signed = sign_as(&event, &key, Signed::sign(&certificate, &identity), identity.verifying_key());
    json!({ "id": HEXLOWER.encode(id.as_bytes()), "signed_event": HEXLOWER.encode(&sotto_crypto::encode(&signed)) })
}

#[test]
fn rooms_are_as_in_the_vectors() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crypto/vectors/room.json");
    let rooms: Vec<Value> = stories().iter().map(|(name, story)| case(name, story)).collect();
    if std::env::var_os("SOTTO_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&json!({ "rooms": rooms, "signed": signed() })).unwrap() + "\n";
        std::fs::write(&path, text).unwrap();
    }
    let there: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(there["rooms"], Value::Array(rooms));
    let field = |name: &str| HEXLOWER.decode(there["signed"][name].as_str().unwrap().as_bytes()).unwrap();
    let event: SignedRoomEvent = decode_strict(&field("signed_event")).unwrap();
    assert_eq!(verify(&event, &mut Known::new()).unwrap().id.as_bytes().as_slice(), field("id"));
}
