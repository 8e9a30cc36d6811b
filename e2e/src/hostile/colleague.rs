//! A hostile colleague: a real account, with a client of its own making. It joins like anybody; then its keys are taken out of
//! its own profile, and it says what no honest client would.

use std::path::Path;
use std::time::Duration;

use minicbor::{Decode, Encode};
use rusqlite::{Connection, OpenFlags};
use sotto_crypto::{
    Address, DeviceCertificate, DeviceId, DeviceKey, IdentityKey, PolicyPublic, Recipient, Signed, SystemRng,
    verify_devices,
};
use sotto_wire::CBOR;
use sotto_wire::api::{
    Accepted, Challenge, Envelope, FetchRecipients, OpenSession, Recipients, SESSION_LABEL, Session, SessionChallenge,
};
use sotto_wire::content::{Body, Content, Conversation};
use sotto_wire::room::{EventId, RoomChange, RoomEvent, RoomId, SignedRoomEvent};
use tokio::runtime::{Builder, Runtime};

use super::person::Person;
use super::proxy::client;
use super::thief::StoreKey;
use super::{address, now_ms};
use crate::{Failure, Outcome, ensure};

/// The beginning of the account, as the store keeps it (`client/src/store/records.rs`).
#[derive(Decode)]
#[cbor(array)]
struct AccountRecord {
    #[n(0)]
    address: Address,
    #[n(1)]
    relay: String,
    #[n(3)]
    _policy_key: PolicyPublic,
    #[cbor(n(4), with = "minicbor::bytes")]
    identity: Vec<u8>,
    #[n(5)]
    device: DeviceId,
    #[cbor(n(6), with = "minicbor::bytes")]
    device_key: Vec<u8>,
    #[n(7)]
    certificate: Signed<DeviceCertificate>,
}

/// As the store keeps it (`client/src/store/rooms.rs`).
#[derive(Decode)]
#[cbor(array)]
struct RoomEventRecord {
    #[n(0)]
    room: RoomId,
    #[n(1)]
    id: EventId,
    #[n(2)]
    signed: SignedRoomEvent,
}

/// Somebody with an account and bad intentions.
pub struct Colleague {
    /// Their keys.
    pub person: Person,
    relay: String,
    token: String,
    http: reqwest::Client,
    store: (Connection, StoreKey),
    runtime: Runtime,
}

impl Colleague {
    /// Who has joined with this profile.
    pub fn of(profile: &Path) -> Outcome<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let store = (open_store(profile)?, StoreKey::of(profile)?);
        let account = account(&store)?;
        let secret = |e: sotto_crypto::KeyError| Failure(e.to_string());
        let identity = IdentityKey::from_bytes(&account.identity).map_err(secret)?.verifying_key();
        let key = DeviceKey::from_bytes(&account.device_key).map_err(secret)?;
        let person = Person::of(account.address, account.device, identity, key, account.certificate);
        let (relay, http) = (account.relay.trim_end_matches('/').to_owned(), client()?);
        let mut colleague = Self { person, relay, token: String::new(), http, store, runtime };
        colleague.open_session()?;
        Ok(colleague)
    }

    fn open_session(&mut self) -> Outcome {
        let ask = SessionChallenge { address: self.person.address.clone(), device: self.person.device };
        let Challenge { challenge } = self.post("/v1/session/challenge", &ask)?;
        let signature = self.person.key.sign(SESSION_LABEL, &challenge);
        let session: Session = self.post("/v1/session", &OpenSession { challenge, signature })?;
        self.token = session.token;
        Ok(())
    }

    fn post<Q: Encode<()>, A: for<'b> Decode<'b, ()>>(&self, path: &str, body: &Q) -> Outcome<A> {
        let ask = async {
            let call = self.http.post(format!("{}{path}", self.relay)).bearer_auth(&self.token);
            let call = call.header("content-type", CBOR).timeout(Duration::from_secs(30));
            let answer = call.body(sotto_crypto::encode(body)).send().await?;
            Ok::<_, reqwest::Error>((answer.status(), answer.bytes().await?))
        };
        let (status, bytes) = self.runtime.block_on(ask).map_err(|e| Failure(format!("{path}: {e}")))?;
        ensure(status.is_success(), || format!("{path}: {status} {}", String::from_utf8_lossy(&bytes)))?;
        minicbor::decode(&bytes).map_err(|e| Failure(format!("{path}: {e}")))
    }

    /// The devices of these people and, where policy asks for them, of the retention processes. The same prekeys may be used
    /// for any number of messages: nothing but good manners keeps a client from it. Without `retention` it is the
    /// medium-term ones, which do not run out.
    pub fn recipients(&self, to: &[&str], retention: bool) -> Outcome<Vec<Recipient>> {
        let addresses = to.iter().map(|who| address(who)).collect::<Outcome<Vec<_>>>()?;
        let ask = FetchRecipients { addresses, signal: (!retention).then_some(true) };
        let found: Recipients = self.post("/v1/recipients", &ask)?;
        let bad = |reason: String| Failure(reason);
        let mut recipients = Vec::new();
        for user in &found.users {
            let list = verify_devices(&user.identity, &user.devices).map_err(|e| bad(e.to_string()))?;
            for prekey in &user.prekeys {
                let device = prekey.header.unverified().map_err(|e| bad(e.to_string()))?.device;
                let device = list.device(device).ok_or_else(|| bad("a prekey of no device".to_owned()))?;
                recipients.push(device.with_prekey(prekey, now_ms()).map_err(|e| bad(e.to_string()))?);
            }
        }
        Ok(recipients)
    }

    /// Sends a content that may be anything.
    pub fn send(&self, recipients: &[Recipient], content: &[u8]) -> Outcome {
        let sealed = self.person.seal(content, recipients)?;
        let header = sotto_crypto::encode(&sealed.header);
        let envelope = Envelope { header, body: sealed.body, wraps: sealed.wraps, expires_in_s: None };
        self.post::<_, Accepted>("/v1/envelopes", &envelope).map(drop)
    }

    /// Sends so many contents of version 99 to somebody.
    pub fn send_newer(&self, to: &str, count: usize) -> Outcome {
        let conversation = Conversation::of([self.person.address.clone(), address(to)?]);
        let conversation = conversation.ok_or_else(|| Failure("a conversation of nobody".into()))?;
        let recipients = self.recipients(&[to], false)?;
        (0..count).try_for_each(|n| {
            let body = Body::Text(format!("from the future {n}"));
            let content = Content { version: 99, ..Content::new(conversation.clone(), now_ms(), body) };
            self.send(&recipients, &sotto_crypto::encode(&content))
        })
    }

    /// Sends so many messages to somebody that belong to a room nobody knows, and claim to know events of it.
    pub fn send_to_unknown_rooms(&self, to: &str, count: usize) -> Outcome {
        let recipients = self.recipients(&[to], false)?;
        (0..count).try_for_each(|n| {
            let body = Body::Text(format!("in a room that nobody knows {n}"));
            let content = Content::new(Conversation::Room(RoomId::from_bytes(random())), now_ms(), body);
            let content = Content { heads: Some(vec![EventId::from_bytes(random())]), ..content };
            self.send(&recipients, &sotto_crypto::encode(&content))
        })
    }

    /// The rooms of the profile, each with the events that nobody has built on yet.
    pub fn rooms(&self) -> Outcome<Vec<(RoomId, Vec<EventId>)>> {
        let (connection, key) = &self.store;
        let sql = |e: rusqlite::Error| Failure(e.to_string());
        let mut statement = connection.prepare("SELECT key, value FROM room_events ORDER BY seq").map_err(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)));
        let mut rooms: Vec<(RoomId, Vec<EventId>)> = Vec::new();
        for row in rows.map_err(sql)? {
            let (row, sealed) = row.map_err(sql)?;
            let value = key.open("room_events", &row, None, &sealed);
            let value = value.ok_or_else(|| Failure("an event of a room does not open".into()))?;
            let record: RoomEventRecord = minicbor::decode(&value).map_err(|e| Failure(e.to_string()))?;
            let parents = record.signed.event.unverified().map_err(|e| Failure(e.to_string()))?.parents;
            let at = rooms.iter().position(|(room, _)| *room == record.room).unwrap_or_else(|| {
                rooms.push((record.room, Vec::new()));
                rooms.len() - 1
            });
            let heads = &mut rooms[at].1;
            heads.retain(|head| !parents.contains(head));
            heads.push(record.id);
            heads.sort_unstable();
        }
        Ok(rooms)
    }

    /// Tells members of a room of changes, each built on the one before, signed by `author`: oneself, or somebody else whose
    /// keys one has.
    pub fn change_room(
        &self,
        (room, heads): (RoomId, &[EventId]),
        author: &Person,
        changes: Vec<RoomChange>,
        to: &[Recipient],
    ) -> Outcome {
        let (mut parents, mut events) = (heads.to_vec(), Vec::new());
        for change in changes {
            let event = RoomEvent {
                version: 1,
                room: Some(room),
                parents,
                author: author.address.clone(),
                device: author.device,
                at_ms: now_ms(),
                change,
            };
            let signed = author.sign(&event);
            parents = vec![event_id(signed.event.payload())];
            events.push(signed);
        }
        let content = Content::new(Conversation::Room(room), now_ms(), Body::Room(events));
        self.send(to, &sotto_crypto::encode(&content))
    }
}

/// The name of an event (docs/protocol.md, rooms).
fn event_id(payload: &[u8]) -> EventId {
    EventId::from_bytes(sotto_crypto::digest(&[b"sotto/2 room event\0", payload].concat()))
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    for half in bytes.chunks_mut(16) {
        half.copy_from_slice(sotto_crypto::MessageId::generate(&mut SystemRng).as_bytes());
    }
    bytes
}

fn open_store(profile: &Path) -> Outcome<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(profile.join("store.db"), flags).map_err(|e| Failure(e.to_string()))
}

fn account((connection, key): &(Connection, StoreKey)) -> Outcome<AccountRecord> {
    let row = connection.query_row("SELECT key, value FROM cells WHERE tbl = 'account'", [], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
    });
    let (row, sealed) = row.map_err(|e| Failure(e.to_string()))?;
    let value = key.open("account", &row, None, &sealed).ok_or_else(|| Failure("the account does not open".into()))?;
    minicbor::decode(&value).map_err(|e| Failure(e.to_string()))
}
