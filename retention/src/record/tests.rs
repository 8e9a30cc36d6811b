use serde_json::{Value, json};
use zeroize::Zeroizing;

use sotto_client::GapEvent;
use sotto_crypto::{DeviceCertificate, DeviceId, DeviceKey, IdentityKey, MessageId, Signed, SystemRng};
use sotto_wire::content::{Content, Forwarded, Link, MessageRef, ReceiptKind};
use sotto_wire::room::{Created, EventId, RoomChange, RoomEvent, RoomId, SignedRoomEvent};

use super::*;
use crate::item::SenderKeys;
use crate::name::Names;
use crate::testing::{TIME, a, broken, content, file, gap, item, subject, text};

fn record(item: &Item<u64>, attachment: &Attachment) -> Value {
    let names = Names::of(item);
    let sealed = item.fault.is_some().then_some(&names.sealed);
    let bytes = Record::of(&subject(), item, attachment, sealed, TIME + 1500).to_json().unwrap();
    assert_eq!(String::from_utf8(bytes.clone()).unwrap().lines().count(), 1, "one line");
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn a_text_between_two_has_every_documented_field() {
    let item = text("the plan is \"here\"\nand there");
    let keys = item.keys.as_ref().unwrap();
    let expected = json!({
        "message_id": "3960e020ca4211e799802f2894564caa",
        "msg_ts": "1691176258.901000",
        "msgtype": 1000,
        "sender": "alice@chat.acme.example",
        "sender_type": "normal",
        "receiver": "bob@chat.acme.example",
        "time": "8/4/23 7:10 PM",
        "time_iso": "2023-08-04 19:10:58.901",
        "vgroupid": item.content.as_ref().unwrap().conversation.id(),
        "message": "the plan is \"here\"\nand there",
        "network": "chat.acme.example",
        "policy": "keep",
        "retained_at": "2023-08-04T19:11:00.401Z",
        "sent_at": "2023-08-04T19:10:58.651Z",
        "sender_device": "07070707070707070707070707070707",
        "sender_device_key": keys.device.to_string(),
        "sender_identity": keys.identity.to_string(),
        "sender_identity_by": "membership",
        "sender_verified": true,
        "members": ["alice@chat.acme.example", "bob@chat.acme.example"],
        "recipients": ["bob@chat.acme.example", "retention.keep@chat.acme.example"],
    });
    assert_eq!(record(&item, &Attachment::None), expected);
}

#[test]
fn people_are_called_as_they_were_that_day_beside_their_addresses() {
    let mut item = text("x");
    item.names = BTreeMap::from([(a("alice"), "Alice Adams".to_owned()), (a("bob"), "Bob Brown".to_owned())]);
    let named = record(&item, &Attachment::None);
    assert_eq!((&named["sender"], &named["sender_name"]), (&json!("alice@chat.acme.example"), &json!("Alice Adams")));
    assert_eq!(named["names"], json!({"bob@chat.acme.example": "Bob Brown"}));
    assert_eq!(named["members"], json!(["alice@chat.acme.example", "bob@chat.acme.example"]));
    // Who only claims to be alice does not get her name.
    item.keys = item.keys.map(|keys| SenderKeys { established_by: None, ..keys });
    let claimed = record(&item, &Attachment::None);
    assert_eq!((claimed.get("sender_name"), &claimed["sender_verified"]), (None, &json!(false)));
    assert_eq!(claimed["names"], named["names"]);
}

#[test]
fn a_message_under_a_used_id_says_so() {
    let mut again = text("never mind");
    again.conflicts_with = again.message.replace(MessageId::from_bytes([5; 16]));
    let record = record(&again, &Attachment::None);
    assert_eq!(record["message_id"], "05050505050505050505050505050505");
    assert_eq!(record["conflicts_with"], "3960e020ca4211e799802f2894564caa");
}

#[test]
fn the_receiver_is_the_other_one_whoever_writes() {
    let mut answer = text("x");
    answer.sender = Some(a("bob"));
    assert_eq!(record(&answer, &Attachment::None)["receiver"], "alice@chat.acme.example");
    let note = item(content(&["alice"], Body::Text("to myself".into())));
    assert_eq!(record(&note, &Attachment::None)["receiver"], "alice@chat.acme.example");
}

#[test]
fn a_group_has_no_receiver_and_says_so_in_its_id() {
    let record = record(&item(content(&["alice", "bob", "carol"], Body::Text("x".into()))), &Attachment::None);
    assert_eq!(record.get("receiver"), None);
    let id = record["vgroupid"].as_str().unwrap();
    assert!(id.starts_with('G') && id.len() == 64, "{id}");
    assert_eq!(record["members"].as_array().unwrap().len(), 3);
}

#[test]
fn an_expiry_counts_from_sending_and_never_from_a_clock_that_runs_ahead() {
    let mut item = text("x");
    let content = item.content.as_mut().unwrap();
    content.expires_in_s = Some(3600);
    content.burn_after_read_s = Some(30);
    let on_time = record(&item, &Attachment::None);
    assert_eq!(on_time["ttl"], "8/4/23 8:10 PM");
    assert_eq!(on_time["expires_at"], "2023-08-04T20:10:58.651Z");
    assert_eq!(on_time["burn_after_read_seconds"], 30);
    item.content.as_mut().unwrap().sent_at_ms = u64::MAX;
    let ahead = record(&item, &Attachment::None);
    assert_eq!(ahead["expires_at"], "2023-08-04T20:11:00.401Z", "an hour after it came");
    assert!(ahead["sent_at"].as_str().unwrap().starts_with("9999-12-30"), "{}", ahead["sent_at"]);
}

#[test]
fn a_file_says_where_it_will_be_and_what_opens_it_until_then() {
    let item = item(content(&["alice", "bob"], Body::File(file("../../etc/passwd", Some("as promised")))));
    let names = Names::of(&item);
    let record = record(&item, &Attachment::Pending(names.attachment.clone()));
    assert_eq!(record["msgtype"], 6000);
    assert_eq!(record["message"], "as promised");
    let expected = json!({
        "filename": "../../etc/passwd",
        "guid": "09090909090909090909090909090909",
        "localfilename": names.attachment.as_str(),
        "uploadedbyuser": "alice@chat.acme.example",
        "uploadedtimestamp": "2023-08-04 19:10:58.901",
        "size": 5,
        "media_type": "text/plain",
        "pending": true,
        "blob": {
            "network": "chat.acme.example",
            "key": data_encoding::BASE64.encode(&[1; 32]),
            "digest": data_encoding::BASE64.encode(&[2; 32]),
        },
    });
    assert_eq!(record["file"], expected);
    assert!(!names.attachment.as_str().contains("passwd"));
}

#[test]
fn what_becomes_of_a_file_is_a_document_of_its_own() {
    let item = item(content(&["alice", "bob"], Body::File(file("plan.txt", Some("as promised")))));
    let names = Names::of(&item);
    let waiting = Waiting::of(&item, &names, item.file().unwrap(), item.accepted_at_ms);
    let outcome = |missing| -> Value {
        let json = Outcome::of(&subject(), &waiting, missing, TIME + 1500).to_json().unwrap();
        serde_json::from_slice(&json).unwrap()
    };
    let mut expected = json!({
        "message_id": "3960e020ca4211e799802f2894564caa",
        "msg_ts": "1691176258.901000",
        "sender": "alice@chat.acme.example",
        "record": names.record.as_str(),
        "file": {
            "filename": "plan.txt",
            "guid": "09090909090909090909090909090909",
            "size": 5,
            "localfilename": names.attachment.as_str(),
        },
        "network": "chat.acme.example",
        "policy": "keep",
        "retained_at": "2023-08-04T19:11:00.401Z",
    });
    assert_eq!(outcome(None), expected);
    let missing = outcome(Some("it is gone".into()));
    expected["file"] = json!({
        "filename": "plan.txt",
        "guid": "09090909090909090909090909090909",
        "size": 5,
        "error": "it is gone",
        "blob": missing["file"]["blob"],
    });
    assert_eq!(missing, expected);
    assert_eq!(missing["file"]["blob"]["key"].as_str().unwrap().len(), 44);
}

#[test]
fn a_file_that_is_not_fetched_says_why_and_what_would_open_it() {
    let item = item(content(&["alice", "bob"], Body::File(file("plan.txt", None))));
    let record = record(&item, &Attachment::Missing("it is gone".into()));
    assert_eq!(record.get("message"), None);
    assert_eq!(record["file"]["error"], "it is gone");
    assert_eq!(record["file"].get("localfilename"), None);
    assert_eq!(record["file"]["blob"]["network"], "chat.acme.example");
    assert_eq!(record["file"]["blob"]["key"].as_str().unwrap().len(), 44);
}

#[test]
fn an_identity_that_nobody_vouches_for_is_no_verified_sender() {
    let mut item = text("believe me");
    let invited = SenderKeys { established_by: Some(Anchor::Invite), ..item.keys.take().unwrap() };
    item.keys = Some(invited);
    let known = record(&item, &Attachment::None);
    assert_eq!((&known["sender_identity_by"], &known["sender_verified"]), (&json!("invite"), &json!(true)));
    item.keys = item.keys.map(|keys| SenderKeys { established_by: None, ..keys });
    let unknown = record(&item, &Attachment::None);
    assert_eq!((unknown.get("sender_identity_by"), &unknown["sender_verified"]), (None, &json!(false)));
    assert!(unknown["sender_identity"].is_string() && unknown["message"] == "believe me", "kept all the same");
}

#[test]
fn what_does_not_open_becomes_a_record_with_its_metadata() {
    let item = broken(None);
    let names = Names::of(&item);
    let expected = json!({
        "msg_ts": "1691176258.901000",
        "msgtype": 0,
        "sender_type": "normal",
        "time": "8/4/23 7:10 PM",
        "time_iso": "2023-08-04 19:10:58.901",
        "network": "chat.acme.example",
        "policy": "keep",
        "retained_at": "2023-08-04T19:11:00.401Z",
        "sender_verified": false,
        "error": "it does not open",
        "sealed": names.sealed.as_str(),
    });
    assert_eq!(record(&item, &Attachment::None), expected);
}

#[test]
fn content_of_a_newer_kind_is_kept_as_it_is() {
    let mut item = broken(Some(b"\x81\x02"));
    item.sender = Some(a("alice"));
    let record = record(&item, &Attachment::None);
    assert_eq!((record["content"].as_str(), record["msgtype"].as_u64()), (Some("gQI="), Some(0)));
    assert_eq!(record["sender"], "alice@chat.acme.example");
}

#[test]
fn a_message_in_a_false_conversation_is_read_all_the_same() {
    let mut item = text("psst");
    item.sender = Some(a("eve"));
    item.fault = Some(crate::item::Fault {
        reason: "it claims a conversation that its sender or you are not in".into(),
        sealed: vec![1],
        raw: None::<Zeroizing<Vec<u8>>>,
    });
    let record = record(&item, &Attachment::None);
    assert_eq!((record["message"].as_str(), record["msgtype"].as_u64()), (Some("psst"), Some(1000)));
    assert!(record["error"].as_str().unwrap().contains("claims a conversation"));
    assert!(record["sealed"].as_str().unwrap().starts_with("unreadable/2023/08/04/"));
    assert_eq!(record.get("receiver"), None);
}

fn target(name: &str) -> MessageRef {
    MessageRef { sender: a(name), device: DeviceId::from_bytes([7; 16]), message: MessageId::from_bytes([0xab; 16]) }
}

fn done(body: Body) -> Value {
    record(&item(content(&["alice", "bob"], body)), &Attachment::None)
}

#[test]
fn an_edit_and_a_reaction_name_what_they_change() {
    let id = "ab".repeat(16);
    let edit = done(Body::Edit(target("alice"), "better words".into()));
    assert_eq!((&edit["msgtype"], edit.get("message")), (&json!(9000), None));
    let expected = json!({"originalmessageid": id, "originalsender": "alice@chat.acme.example", "text": "better words", "type": "text"});
    assert_eq!(edit["edit"], expected);
    let reaction = done(Body::React(target("bob"), "\u{1f44d}".into(), false));
    assert_eq!(reaction["msgtype"], 9100);
    assert_eq!((&reaction["edit"]["type"], &reaction["edit"]["removed"]), (&json!("reaction"), &json!(true)));
}

#[test]
fn a_deletion_says_whether_the_sender_took_it_back() {
    let own = done(Body::Delete(target("alice")));
    assert_eq!((&own["msgtype"], &own["control"]["isrecall"]), (&json!(4011), &json!(true)));
    assert_eq!(own["control"]["msgid"], "ab".repeat(16));
    let anothers = done(Body::Delete(target("bob")));
    assert_eq!(
        (&anothers["control"]["isrecall"], &anothers["control"]["msgsender"]),
        (&json!(false), &json!("bob@chat.acme.example"))
    );
}

#[test]
fn receipts_and_pins_are_kept() {
    let read = done(Body::Receipt(ReceiptKind::Read, vec![target("bob")]));
    assert_eq!((&read["msgtype"], &read["receipt"]["kind"]), (&json!(9200), &json!("read")));
    assert_eq!(read["receipt"]["messages"][0]["message_id"], "ab".repeat(16));
    let pin = done(Body::Pin(target("bob"), true));
    assert_eq!((&pin["msgtype"], &pin["control"]["pinned"]), (&json!(4012), &json!(true)));
}

#[test]
fn what_a_message_refers_to_is_kept() {
    let mut sent = content(&["alice", "bob"], Body::Text("@bob yes".into()));
    sent.reply_to = Some(target("bob"));
    sent.mentions = Some(vec![a("bob")]);
    sent.forwarded = Some(Forwarded { from: a("carol"), sent_at_ms: 1 });
    let record = record(&item(sent), &Attachment::None);
    assert_eq!(record["reply_to"], "ab".repeat(16));
    assert_eq!(record["mentions"], json!(["bob@chat.acme.example"]));
    assert_eq!(record["forwarded_from"], "carol@chat.acme.example");
}

fn in_room(changes: Vec<RoomChange>) -> Value {
    let identity = IdentityKey::generate(&mut SystemRng);
    let key = DeviceKey::generate(&mut SystemRng);
    let device = DeviceId::from_bytes([7; 16]);
    let certificate = Signed::sign(&DeviceCertificate::new(a("alice"), device, key.verifying_key(), 1), &identity);
    let room = RoomId::from_bytes([0x5a; 32]);
    let events = changes.into_iter().map(|change| {
        let created = matches!(change, RoomChange::Create(_));
        let (room, parents) =
            if created { (None, vec![]) } else { (Some(room), vec![EventId::from_bytes([0x5a; 32])]) };
        let event = RoomEvent { version: 1, room, parents, author: a("alice"), device, at_ms: TIME, change };
        SignedRoomEvent {
            event: Signed::sign(&event, &key),
            certificate: certificate.clone(),
            identity: identity.verifying_key(),
        }
    });
    let content = Content::new(Conversation::Room(room), TIME, Body::Room(events.collect()));
    record(&item(content), &Attachment::None)
}

fn created() -> RoomChange {
    RoomChange::Create(Created {
        nonce: [0; 16],
        title: "Plans".into(),
        members: vec![a("bob")],
        moderators: vec![],
        expires_in_s: Some(60),
        burn_after_read_s: None,
    })
}

#[test]
fn the_events_of_a_room_are_control_messages() {
    let create = in_room(vec![created()]);
    assert!(create["vgroupid"].as_str().unwrap().starts_with('S'));
    assert_eq!(create["msgtype"], 4001);
    let control = &create["control"];
    assert_eq!((&control["title"], &control["ttl"], &control["bor"]), (&json!("Plans"), &json!(60), &json!(0)));
    assert_eq!(control["members"], json!(["alice@chat.acme.example", "bob@chat.acme.example"]));
    assert_eq!(control["masters"], json!(["alice@chat.acme.example"]));
    assert_eq!((&control["author"], &control["changemask"]), (&json!("alice@chat.acme.example"), &json!(47)));
    for (change, msgtype, field, value) in [
        (RoomChange::Add(vec![a("bob")]), 4002, "addedmembers", json!(["bob@chat.acme.example"])),
        (RoomChange::Remove(vec![a("bob")]), 4002, "removedmembers", json!(["bob@chat.acme.example"])),
        (RoomChange::Leave, 4003, "msgtype", json!(4003)),
        (RoomChange::Moderator(a("bob"), true), 4004, "addedmasters", json!(["bob@chat.acme.example"])),
        (RoomChange::Title("New".into()), 4004, "title", json!("New")),
        (RoomChange::Expiry(None), 4004, "ttl", json!(0)),
        (RoomChange::Burn(Some(9)), 4004, "bor", json!(9)),
        (RoomChange::Close, 4005, "msgtype", json!(4005)),
    ] {
        let record = in_room(vec![change]);
        assert_eq!((&record["msgtype"], &record["control"][field]), (&json!(msgtype), &value));
    }
}

#[test]
fn a_new_member_is_told_all_events_and_so_is_the_record() {
    let record = in_room(vec![created(), RoomChange::Add(vec![a("carol")])]);
    assert_eq!((&record["msgtype"], record.get("control")), (&json!(4002), None));
    let types: Vec<_> = record["events"].as_array().unwrap().iter().map(|e| e["msgtype"].clone()).collect();
    assert_eq!(types, [json!(4001), json!(4002)]);
}

#[test]
fn what_is_missing_is_a_record_of_its_own_kind() {
    let json = |what| -> Value {
        let bytes = GapRecord::of(&subject(), &gap(what), TIME + 1_000).to_json().unwrap();
        assert_eq!(bytes.last(), Some(&b'\n'));
        serde_json::from_slice(&bytes).unwrap()
    };
    let expected = json!({
        "msg_ts": "1691176258.901000",
        "msgtype": 9300,
        "sender": "alice@chat.acme.example",
        "sender_type": "normal",
        "time": "8/4/23 7:10 PM",
        "time_iso": "2023-08-04 19:10:58.901",
        "vgroupid": "c1",
        "gap": {"event": "missing", "first": 3, "count": 2},
        "network": "chat.acme.example",
        "policy": "keep",
        "retained_at": "2023-08-04T19:10:59.901Z",
        "sender_device": "07070707070707070707070707070707",
    });
    assert_eq!(json(GapEvent::Missing), expected);
    for (what, word) in [
        (GapEvent::Came, "came"),
        (GapEvent::Gone, "gone"),
        (GapEvent::NotForUs, "not_for_us"),
        (GapEvent::Conflict, "conflict"),
    ] {
        assert_eq!(json(what)["gap"]["event"], word);
    }
}

#[test]
fn a_message_that_was_missing_says_so() {
    let mut item = text("x");
    item.content.as_mut().unwrap().link = Some(Link { index: 4, since: 0, previous: [0; 32] });
    let before = record(&item, &Attachment::None);
    assert_eq!((before["number"].clone(), before.get("late")), (json!(4), None));
    item.late = true;
    assert_eq!(record(&item, &Attachment::None)["late"], true);
}

#[test]
fn times_that_cannot_all_be_right_are_said() {
    const MINUTE: u64 = 60_000;
    const DAY: u64 = 24 * 60 * MINUTE;
    let of = |accepted_at_ms: u64, sent_at_ms: u64, now_ms: u64| {
        let content = Content { sent_at_ms, ..content(&["alice", "bob"], Body::Text("when?".into())) };
        let item = Item { accepted_at_ms, ..item(content) };
        let record = Record::of(&subject(), &item, &Attachment::None, None, now_ms).to_json().unwrap();
        serde_json::from_slice::<serde_json::Value>(&record).unwrap()
    };
    for (accepted, sent, now, disagree) in [
        (TIME, TIME, TIME, false),
        // Composed while there was no connection; waited at the relay for as long as may be.
        (TIME, TIME - 9 * DAY, TIME + 30 * DAY, false),
        (TIME, TIME, TIME + 31 * DAY, true),
        (TIME + 4 * MINUTE, TIME + 4 * MINUTE, TIME, false),
        (TIME + 6 * MINUTE, TIME, TIME, true),
        (TIME, TIME + 6 * MINUTE, TIME + 9 * MINUTE, true),
        (0, TIME, TIME, true),
    ] {
        let record = of(accepted, sent, now);
        assert_eq!(record.get("times_disagree").is_some(), disagree, "{accepted} {sent} {now}");
    }
    // A relay's word does not end anything.
    let content = Content { expires_in_s: Some(60), ..content(&["alice", "bob"], Body::Text("short".into())) };
    let item = Item { accepted_at_ms: 0, ..item(content) };
    let record = Record::of(&subject(), &item, &Attachment::None, None, TIME).to_json().unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["expires_at"], "2023-08-04T19:11:58.651Z");
}
