//! Secrets do not show: not by a trait that a type has by accident, and not in the `Debug` of what holds them.

use crate::common::{Person, TestRng};
use sotto_crypto::*;

/// Does not compile when the type has the trait: then the two blankets make `check` ambiguous.
macro_rules! has_not {
    ($type:ty: $($trait:path),+) => {
        $(const _: fn() = || {
            trait Ambiguous<A> {
                fn check() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct HasIt;
            impl<T: ?Sized + $trait> Ambiguous<HasIt> for T {}
            let _ = <$type as Ambiguous<_>>::check;
        };)+
    };
}

macro_rules! secret {
    ($($type:ty),+ $(,)?) => {
        $(has_not!($type: std::fmt::Debug, std::fmt::Display, Clone, PartialEq, std::hash::Hash, minicbor::Encode<()>);)+
    };
}

secret!(IdentityKey, DeviceKey, PolicyKey, PrekeySecret, AttachmentKey, AttachmentSealer, AttachmentOpener);
secret!(LinkSecret, LinkCode, LinkKeys, RecoveryKey, VaultKey);
has_not!(Opened: std::fmt::Display, Clone, minicbor::Encode<()>);
has_not!(Sender<'static>: std::fmt::Debug);

#[test]
fn the_debug_form_of_public_types_is_stable_and_shows_no_secret() {
    let mut rng = TestRng(50);
    let alice = Person::new(&mut rng, "alice@a.example");
    let bob = Person::new(&mut rng, "bob@b.example");
    let message = MessageId::generate(&mut rng);
    let sealed = seal(&mut rng, &alice.sender(), message, b"hush", &[bob.recipient(0)]).unwrap();
    let opened = bob.open(&sealed.header, &sealed.body, &sealed.wraps[0]).unwrap();

    let raw = format!(
        "{sealed:#?}\n{opened:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n",
        sealed.wraps,
        alice.certificate,
        alice.certificate.unverified(),
        bob.batch,
        bob.batch.header.unverified(),
        bob.recipient(0),
    );
    let text = without_random_values(&raw);
    if std::env::var_os("SOTTO_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/snapshots/debug.txt"), &text).unwrap();
    } else {
        let same = text == include_str!("snapshots/debug.txt");
        assert!(same, "the Debug form has changed; if it shows no secret, run with SOTTO_UPDATE_SNAPSHOTS=1:\n{text}");
    }

    assert!(!raw.contains("hush") && !raw.contains("104, 117, 115, 104"));
    for secret in [alice.identity.to_bytes(), alice.key.to_bytes(), bob.secrets[0].to_bytes()] {
        let decimal = format!("{:?}", &secret[2..8]);
        assert!(!raw.contains(decimal.trim_matches(['[', ']'])));
        let hex = data_encoding::HEXLOWER.encode(&secret[2..8]);
        assert!(!raw.contains(&hex));
    }
}

/// Identifiers, fingerprints and digests depend on how an implementation of the suite makes its keys.
fn without_random_values(text: &str) -> String {
    let is_no_byte = |line: &&str| line.trim().trim_end_matches(',').parse::<u8>().is_err();
    let mut lines: Vec<String> = text.lines().filter(is_no_byte).map(str::to_owned).collect();
    for line in &mut lines {
        for word in line.clone().split(|c: char| !c.is_ascii_alphanumeric()) {
            match word.len() {
                32 => *line = line.replace(word, "<id>"),
                52 => *line = line.replace(word, "<fingerprint>"),
                _ => {}
            }
        }
    }
    lines.join("\n") + "\n"
}
