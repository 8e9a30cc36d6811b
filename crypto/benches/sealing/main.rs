//! What sealing, opening, checking and attachments cost beside the bare operations of the same library, as ratios:
//! `make bench`. Ours and theirs take turns in one process, and what is counted is the thread's CPU time, so that the
//! ratios hold on a busy machine. Prints a table and writes `target/bench/crypto.json`.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    unreachable_pub,
    reason = "a tool of this repository"
)]

use std::hint::black_box;
use std::io::{Read, sink};
use std::path::Path;

use serde_json::{Value, json};
use sotto_crypto::{
    CHUNK, Known, MessageId, Prekey, Recipient, Signed, SystemRng, decode_strict, encode, open, open_stream, open_with,
    seal, seal_stream,
};

mod bare;
mod measure;
#[allow(clippy::wildcard_imports, reason = "the tests' own")]
#[path = "../../tests/it/common.rs"]
mod people;

use measure::{Row, Turn, compare};
use people::{NOW, Person, TestRng};

const KIB: usize = 1024;

type Workload<'a> = Box<dyn Fn() -> Row + 'a>;

fn main() {
    // A word on the command line chooses the workloads that have it in their name; then nothing is written.
    let chosen = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let people = People::new();
    let workloads: Vec<(&str, Workload<'_>)> = vec![
        ("sealing 1", Box::new(|| sealing(&people, 1))),
        ("sealing 10", Box::new(|| sealing(&people, 10))),
        ("sealing 100", Box::new(|| sealing(&people, 100))),
        ("sealing 1000", Box::new(|| sealing(&people, 1000))),
        ("opening 1", Box::new(|| opening(&people, 1))),
        ("opening 100", Box::new(|| opening(&people, 100))),
        ("opening 1000", Box::new(|| opening(&people, 1000))),
        (
            "opening 1000 another",
            Box::new(|| opening_another_list(&people, 1000, 2, "another list than before, of two in turn")),
        ),
        ("opening 1000 new", Box::new(|| opening_another_list(&people, 1000, 8, "a list that is not remembered"))),
        ("opening first", Box::new(|| opening_the_first(&people))),
        ("checking batch", Box::new(|| checking_one_batch(&people))),
        ("checking a contact", Box::new(|| checking_a_new_contact(&people))),
        ("checking many", Box::new(|| checking_many_devices(&people))),
        ("attachment sealing", Box::new(sealing_attachments)),
        ("attachment opening", Box::new(opening_attachments)),
        ("attachment memory", Box::new(memory)),
    ];
    let is_chosen = |name: &str| chosen.as_ref().is_none_or(|word| name.contains(word.as_str()));
    let rows: Vec<Row> = workloads.iter().filter(|(name, _)| is_chosen(name)).map(|(_, run)| run()).collect();
    report(&rows, chosen.is_none());
}

fn report(rows: &[Row], write: bool) {
    println!("{} and the same library bare; thread CPU time, medians of {} rounds\n", bare::NAME, measure::ROUNDS);
    println!("{:<58} {:>12} {:>12}  {:<9} {:>6}  {:<8} met", "workload", "ours", "bare", "unit", "ratio", "goal");
    for row in rows {
        println!(
            "{:<58} {:>12.1} {:>12.1}  {:<9} {:>6.3}  {:<8} {}",
            row.workload,
            row.ours,
            row.theirs,
            row.unit,
            row.ratio,
            row.goal_text(),
            if row.met() { "yes" } else { "NO" }
        );
        println!("    beside {}", row.beside);
    }
    if !write {
        return;
    }
    let list: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "workload": row.workload, "unit": row.unit, "ours": row.ours, "beside": row.beside,
                "theirs": row.theirs, "ratio": row.ratio, "goal": row.goal_text(), "met": row.met(),
            })
        })
        .collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench/crypto.json");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, serde_json::to_string_pretty(&list).unwrap() + "\n").unwrap();
    println!("\nwritten: target/bench/crypto.json");
}

/// A sender, and recipients of all of whom everything has been verified.
struct People {
    alice: Person,
    bobs: Vec<Person>,
    recipients: Vec<Recipient>,
    bare: bare::Keys,
}

impl People {
    fn new() -> Self {
        let mut rng = TestRng(1);
        let alice = Person::new(&mut rng, "alice@chat.acme.example");
        // Users with two devices each.
        let mut bobs: Vec<Person> = Vec::new();
        while bobs.len() < 1000 {
            let bob = Person::new(&mut rng, &format!("user{:04}@chat.acme.example", bobs.len()));
            let other = bob.another_device(&mut rng);
            bobs.extend([bob, other]);
        }
        let recipients: Vec<_> = bobs.iter().map(|bob| bob.recipient(0)).collect();
        let points = bobs.iter().map(|bob| *bob.batch.keys[0].as_bytes()).collect();
        Self { alice, bobs, recipients, bare: bare::Keys::new(points) }
    }
}

fn sealing(people: &People, count: usize) -> Row {
    let content = vec![7; KIB];
    let sender = people.alice.sender();
    let recipients = &people.recipients[..count];
    let mut ours = || {
        let message = MessageId::generate(&mut SystemRng);
        black_box(seal(&mut SystemRng, &sender, message, &content, recipients).unwrap());
    };
    let mut theirs = || people.bare.agreements_keygen_and_signature(count, &content);
    let (ours, theirs, ratio) = compare(&Turn::of(count.max(5) as u64 * 250), &mut ours, &mut theirs);
    Row {
        workload: format!("sealing 1 KiB to {count} devices"),
        unit: "us",
        ours,
        beside: format!("{count} ECDH, one key generation, one signature of 1 KiB"),
        theirs,
        ratio,
        goal: measure::Goal::AtMost(1.10),
    }
}

fn opening(people: &People, count: usize) -> Row {
    let content = vec![7; KIB];
    let recipients = &people.recipients[..count];
    let message = MessageId::generate(&mut SystemRng);
    let sealed = seal(&mut SystemRng, &people.alice.sender(), message, &content, recipients).unwrap();
    let bob = &people.bobs[0];
    let (wrap, secret) = (bob.wrap(&sealed), &bob.secrets[0]);
    let mut known = Known::new();
    let mut ours = || {
        let me = (&bob.address, bob.device);
        let opened = open_with(&mut known, &sealed.header, &sealed.body, me, wrap.prekey, secret, &wrap.key);
        black_box(opened.unwrap());
    };
    let signed = people.bare.signed(&content);
    let mut theirs = || people.bare.agreement_and_verifications(&signed, 1);
    let (ours, theirs, ratio) = compare(&Turn::of(600), &mut ours, &mut theirs);
    Row {
        workload: format!("opening 1 KiB sealed to {count} devices, sender and list known"),
        unit: "us",
        ours,
        beside: "one ECDH and one verification of 1 KiB".into(),
        theirs,
        ratio,
        goal: measure::Goal::AtMost(1.15),
    }
}

/// The sender's device is known, and what it wrote before went to others: to so many lists it writes in turn. Of more than a
/// few none is remembered.
fn opening_another_list(people: &People, count: usize, lists: usize, what: &str) -> Row {
    let content = vec![7; KIB];
    let seal_to = |recipients: &[Recipient]| {
        seal(&mut SystemRng, &people.alice.sender(), MessageId::generate(&mut SystemRng), &content, recipients).unwrap()
    };
    let bob = &people.bobs[0];
    let sealed: Vec<_> = (0..lists).map(|without| seal_to(&people.recipients[..count - without])).collect();
    let mut known = Known::new();
    let mut turn = 0;
    let mut ours = || {
        turn = (turn + 1) % lists;
        let (sealed, secret, me) = (&sealed[turn], &bob.secrets[0], (&bob.address, bob.device));
        let wrap = bob.wrap(sealed);
        let opened = open_with(&mut known, &sealed.header, &sealed.body, me, wrap.prekey, secret, &wrap.key);
        black_box(opened.unwrap());
    };
    let signed = people.bare.signed(&content);
    let mut theirs = || people.bare.agreement_and_verifications(&signed, 1);
    let (ours, theirs, ratio) = compare(&Turn::of(600), &mut ours, &mut theirs);
    Row {
        workload: format!("opening 1 KiB sealed to {count} devices, {what}"),
        unit: "us",
        ours,
        beside: "one ECDH and one verification of 1 KiB".into(),
        theirs,
        ratio,
        goal: measure::Goal::AtMost(1.15),
    }
}

fn opening_the_first(people: &People) -> Row {
    let content = vec![7; KIB];
    let message = MessageId::generate(&mut SystemRng);
    let sealed = seal(&mut SystemRng, &people.alice.sender(), message, &content, &people.recipients[..1]).unwrap();
    let bob = &people.bobs[0];
    let (wrap, secret) = (bob.wrap(&sealed), &bob.secrets[0]);
    let mut ours = || {
        let me = (&bob.address, bob.device);
        black_box(open(&sealed.header, &sealed.body, me, wrap.prekey, secret, &wrap.key).unwrap());
    };
    let signed = people.bare.signed(&content);
    let mut theirs = || people.bare.agreement_and_verifications(&signed, 2);
    let (ours, theirs, ratio) = compare(&Turn::of(900), &mut ours, &mut theirs);
    Row {
        workload: "opening the first message of a device (certificate too)".into(),
        unit: "us",
        ours,
        beside: "one ECDH and two verifications".into(),
        theirs,
        ratio,
        goal: measure::Goal::AtMost(1.15),
    }
}

/// As they come from the relay: encoded.
fn encoded(people: &[Person], index: u32) -> Vec<Vec<u8>> {
    people.iter().map(|bob| encode(&bob.batch.prekey(index).unwrap())).collect()
}

/// All prekeys of one batch that is new, as when one device is written to again and again.
fn checking_one_batch(people: &People) -> Row {
    const COUNT: u32 = 100;
    let bob = &people.bobs[0];
    let (batch, _) = sotto_crypto::generate_prekeys(
        &mut SystemRng,
        &bob.key,
        bob.device,
        sotto_crypto::PrekeyKind::OneTime,
        COUNT,
        NOW,
        NOW + people::DAY,
    );
    let fetched: Vec<_> = (0..COUNT).map(|index| encode(&batch.prekey(index).unwrap())).collect();
    let mut devices = Known::new();
    devices.device(&bob.identity_public, &bob.certificate).unwrap();
    let device = bob.verified();
    let mut ours = || {
        let mut batch = None;
        for bytes in &fetched {
            let prekey: Prekey = decode_strict(bytes).unwrap();
            let batch = batch.get_or_insert_with(|| device.with_batch(&prekey.header).unwrap());
            black_box(batch.with_prekey(&prekey, NOW).unwrap());
        }
    };
    let signed = people.bare.signed(&fetched[0]);
    let mut theirs = || people.bare.verifications(&signed, COUNT as usize);
    let (ours, theirs, ratio) = compare(&Turn::of(34_000), &mut ours, &mut theirs);
    Row {
        workload: format!("checking {COUNT} prekeys of one new batch"),
        unit: "us",
        ours,
        beside: format!("{COUNT} verifications"),
        theirs,
        ratio,
        goal: measure::Goal::AtMost(0.1),
    }
}

/// A contact of three devices who was never written to: what their devices make necessary, one signature for the list and one for
/// each batch. (Their membership, and their voucher where it takes one, are two more, each a bare verification.)
fn checking_a_new_contact(people: &People) -> Row {
    const DEVICES: u32 = 3;
    let mut rng = people::TestRng(77);
    let bob = people::Person::new(&mut rng, "bob@b.example");
    let devices = [bob.another_device(&mut rng), bob.another_device(&mut rng), bob];
    let listed = devices.each_ref().map(|one| sotto_crypto::ListedDevice {
        device: one.device,
        key: one.key.verifying_key(),
        since_ms: NOW,
    });
    let [bob, ..] = &devices;
    let list = sotto_crypto::DeviceList::new(bob.address.clone(), NOW, NOW + people::DAY, listed.to_vec());
    let list = Signed::sign(&list, &bob.identity).to_bytes();
    let prekeys = devices.each_ref().map(|one| (one.device, encode(&one.batch.prekey(0).unwrap())));
    let mut ours = || {
        let mut known = Known::new();
        let devices = known.devices(&bob.identity_public, &Signed::from_bytes(&list).unwrap()).unwrap();
        for (device, prekey) in &prekeys {
            let prekey: Prekey = decode_strict(prekey).unwrap();
            black_box(known.recipient(devices.device(*device).unwrap(), &prekey, NOW).unwrap());
        }
    };
    let signed = people.bare.signed(&prekeys[0].1);
    let mut theirs = || people.bare.verifications(&signed, DEVICES as usize + 1);
    let (ours, theirs, ratio) = compare(&Turn::of(1_400), &mut ours, &mut theirs);
    Row {
        workload: format!("checking list and prekeys of a new contact with {DEVICES} devices"),
        unit: "us",
        ours,
        beside: format!("{} verifications", DEVICES + 1),
        theirs,
        ratio,
        goal: measure::Goal::AtMost(1.3),
    }
}

/// One prekey of each of many devices that were written to before, as in a room.
fn checking_many_devices(people: &People) -> Row {
    const COUNT: usize = 500;
    let bobs = &people.bobs[..COUNT];
    let mut known = Known::new();
    // Signing may be randomised, and a list is remembered by its bytes.
    let lists: Vec<_> = bobs.iter().map(|bob| bob.devices().to_bytes()).collect();
    for ((bob, bytes), list) in bobs.iter().zip(encoded(bobs, 0)).zip(&lists) {
        let prekey: Prekey = decode_strict(&bytes).unwrap();
        let devices = known.devices(&bob.identity_public, &Signed::from_bytes(list).unwrap()).unwrap();
        known.recipient(&devices.devices()[0], &prekey, NOW).unwrap();
    }
    let fetched = encoded(bobs, 1);
    let mut ours = || {
        for ((bob, bytes), list) in bobs.iter().zip(&fetched).zip(&lists) {
            let prekey: Prekey = decode_strict(bytes).unwrap();
            let devices = known.devices(&bob.identity_public, &Signed::from_bytes(list).unwrap()).unwrap();
            black_box(known.recipient(&devices.devices()[0], &prekey, NOW).unwrap());
        }
    };
    let signed = people.bare.signed(&fetched[0]);
    let mut theirs = || people.bare.verifications(&signed, COUNT);
    let (ours, theirs, ratio) = compare(&Turn::of(170_000), &mut ours, &mut theirs);
    Row {
        workload: format!("checking a prekey of each of {COUNT} known devices"),
        unit: "us",
        ours,
        beside: format!("{COUNT} verifications"),
        theirs,
        ratio,
        goal: measure::Goal::AtMost(0.1),
    }
}

/// Costs nothing itself: it says that it has read, and leaves the buffer as it is.
struct Free(usize);

impl Read for Free {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = buffer.len().min(self.0);
        self.0 -= count;
        Ok(count)
    }
}

/// Length of the attachment.
const LENGTH: usize = 16 * KIB * KIB;
/// How much the bare cipher takes at once.
const PIECE: usize = KIB * KIB;

fn rate(workload: &str, beside: &str, (ours, theirs, ratio): (f64, f64, f64)) -> Row {
    let gigabytes = |micros: f64| LENGTH as f64 / micros / 1000.0;
    Row {
        workload: workload.into(),
        unit: "GB/s",
        ours: gigabytes(ours),
        beside: beside.into(),
        theirs: gigabytes(theirs),
        ratio: 1.0 / ratio,
        goal: measure::Goal::AtLeast(0.85),
    }
}

fn sealing_attachments() -> Row {
    let cipher = bare::Cipher::new();
    let mut buffer = vec![0; PIECE + 16];
    let mut ours = || drop(black_box(seal_stream(&mut SystemRng, &mut Free(LENGTH), &mut sink()).unwrap()));
    let mut theirs = || (0..LENGTH / PIECE).for_each(|_| cipher.seal(&mut buffer));
    let times = compare(&Turn::of(3000), &mut ours, &mut theirs);
    rate("sealing an attachment of 16 MiB", "AES-256-GCM in place over 1 MiB, again and again, one key", times)
}

fn opening_attachments() -> Row {
    let mut sealed = Vec::new();
    let (key, _) = seal_stream(&mut SystemRng, &mut Free(LENGTH), &mut sealed).unwrap();
    let mut ours = || {
        let mut reader = sealed.as_slice();
        black_box(open_stream(&key, &mut reader, &mut sink()).unwrap());
    };
    // Opening needs genuine input, which comes from elsewhere in memory: so it does for the bare cipher.
    let cipher = bare::Cipher::new();
    let mut buffer = vec![0; PIECE + 16];
    let genuine: Vec<_> = (0..LENGTH / PIECE).map(|_| cipher.sealed(&vec![0; PIECE])).collect();
    let mut theirs = || {
        for piece in &genuine {
            buffer.copy_from_slice(piece);
            cipher.open(&mut buffer);
        }
    };
    let times = compare(&Turn::of(3000), &mut ours, &mut theirs);
    rate("opening an attachment of 16 MiB", "AES-256-GCM over pieces of 1 MiB that are copied in, one key", times)
}

/// How much more memory a long attachment takes than a short one.
fn memory() -> Row {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|number| number.parse::<f64>().ok()).unwrap_or(f64::NAN)
    };
    let through = |length: usize| {
        // From here on the most that was used is counted anew (proc(5)).
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let (_, clear) = seal_stream(&mut SystemRng, &mut Free(length), &mut sink()).unwrap();
        assert_eq!(clear, length as u64);
        resident()
    };
    let short = through(CHUNK);
    let long = through(4 * KIB * KIB * KIB);
    Row {
        workload: "most memory while sealing 4 GiB".into(),
        unit: "KiB",
        ours: long,
        beside: "while sealing 64 KiB".into(),
        theirs: short,
        ratio: long / short,
        goal: measure::Goal::AtMost(1.01),
    }
}
