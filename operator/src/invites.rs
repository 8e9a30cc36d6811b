//! Invites: the secret by which a user registers, and the URL that carries it.

use std::time::Duration;

use sotto_crypto::{Address, Fingerprint, InviteSecret, SystemRng};
use sotto_wire::admin::InviteGrant;
use sotto_wire::invite::{Invite, Transport, code_digest};
use sotto_wire::policy::OpenInvite;
use zeroize::Zeroizing;

use crate::secret::{Change, Ensured, SecretData};

/// Key of the secret.
pub const CODE: &str = "code";
/// Key of when it was made (milliseconds since the epoch).
pub const MADE_AT_MS: &str = "made-at-ms";
/// Key of the whole URL, which is what the user gets.
pub const URL: &str = "url";
/// Key of the address that is invited.
pub const ADDRESS: &str = "address";
/// Key of the word by which it was asked for, where it was.
pub const RESET: &str = "reset";
/// Key of the end of the invite (milliseconds since the epoch).
pub const EXPIRES_AT_MS: &str = "expires-at-ms";

/// Everything that an invite says apart from its code.
#[derive(Clone, Debug)]
pub struct InviteRequest {
    /// Where clients reach the relay: `http://…` or `https://…`.
    pub relay_url: String,
    /// SHA-256 of the network's authority, where the relay's certificate comes from it.
    pub authority: Option<[u8; 32]>,
    /// Who is invited.
    pub address: Address,
    /// The policy key to pin.
    pub policy_key: Fingerprint,
    /// How long a new invite is good.
    pub life: Duration,
    /// The word by which a new invite was asked for: one that was made for another word is replaced.
    pub reset: Option<String>,
}

/// The relay's URL cannot be put into an invite.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` cannot be put into an invite: the relay's URL has to be http://HOST[:PORT] or https://HOST[:PORT]")]
pub struct InviteUrlError(String);

/// The invite's Secret (`code`, `url`, `address`, `made-at-ms`, `expires-at-ms`). One that has not ended is kept, and its URL follows the
/// relay's; one that has ended is replaced.
pub fn invite(existing: &SecretData, request: &InviteRequest, now_ms: u64) -> Result<Ensured, InviteUrlError> {
    let ended = expires_at_ms(existing).is_none_or(|end| end <= now_ms)
        || secret(existing).is_none()
        || made_at_ms(existing).is_none();
    let replaced = request.reset.as_deref().is_some_and(|word| existing.text(RESET) != Some(word));
    let alive = !ended && !replaced;
    let mut data = if alive { existing.clone() } else { SecretData::default() };
    if !alive {
        data.insert(CODE, InviteSecret::generate(&mut SystemRng).to_text().as_bytes());
        // Later than the one before, whatever the clock says: that is how contacts know which of two invites is newer.
        let made_at_ms = made_at_ms(existing).map_or(now_ms, |before| now_ms.max(before.saturating_add(1)));
        data.insert(MADE_AT_MS, made_at_ms.to_string());
        let life = u64::try_from(request.life.as_millis()).unwrap_or(u64::MAX);
        data.insert(EXPIRES_AT_MS, now_ms.saturating_add(life).to_string());
        if let Some(word) = &request.reset {
            data.insert(RESET, word.as_bytes());
        }
    }
    if let Some(secret) = secret(&data) {
        let url = Zeroizing::new(url(request, secret)?.to_url());
        data.insert(URL, url.as_bytes());
    }
    data.insert(ADDRESS, request.address.as_str());
    let change = match (data == *existing, alive, existing.is_empty()) {
        (true, ..) => Change::Kept,
        (_, _, true) => Change::Created,
        (_, true, _) => Change::Renewed("the relay's address changed"),
        (_, false, _) if ended => Change::Renewed("it had ended"),
        (_, false, _) => Change::Renewed("a new one was asked for"),
    };
    Ok(Ensured { data, change })
}

/// The invite as the relay is told of it: never its secret.
pub fn grant(data: &SecretData) -> Option<InviteGrant> {
    let code = secret(data)?.registration_code();
    Some(InviteGrant { code_digest: code_digest(&code), expires_at_ms: expires_at_ms(data)? })
}

/// The invite as the membership says it: who has its key may say whose identity it is.
pub fn open(data: &SecretData) -> Option<OpenInvite> {
    Some(OpenInvite { invited_at_ms: made_at_ms(data)?, key: secret(data)?.key().verifying_key() })
}

fn secret(data: &SecretData) -> Option<InviteSecret> {
    InviteSecret::parse(data.text(CODE)?).ok()
}

fn made_at_ms(data: &SecretData) -> Option<u64> {
    data.text(MADE_AT_MS)?.parse().ok()
}

/// When the invite ends.
pub fn expires_at_ms(secret: &SecretData) -> Option<u64> {
    secret.text(EXPIRES_AT_MS)?.parse().ok()
}

fn url(request: &InviteRequest, secret: InviteSecret) -> Result<Invite, InviteUrlError> {
    let bad = || InviteUrlError(request.relay_url.clone());
    let (plain, rest) = match request.relay_url.split_once("://") {
        Some(("http", rest)) => (true, rest),
        Some(("https", rest)) => (false, rest),
        _ => return Err(bad()),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.is_empty() || authority.contains(|c: char| !(c.is_ascii_alphanumeric() || "-.:[]".contains(c))) {
        return Err(bad());
    }
    let transport = match (plain, request.authority) {
        (true, _) => Transport::Plain,
        (false, None) => Transport::PublicTls,
        (false, Some(digest)) => Transport::NetworkTls(digest),
    };
    Ok(Invite {
        authority: authority.to_owned(),
        transport,
        address: request.address.clone(),
        secret,
        policy_key: request.policy_key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn request() -> InviteRequest {
        InviteRequest {
            relay_url: "http://127.0.0.1:7443".into(),
            authority: None,
            address: Address::parse("alice@chat.acme.example").unwrap(),
            policy_key: sotto_crypto::PolicyKey::generate(&mut SystemRng).verifying_key().fingerprint(),
            life: Duration::from_hours(1),
            reset: None,
        }
    }

    #[test]
    fn codes_are_long_readable_and_different() {
        let made = || invite(&SecretData::default(), &request(), NOW).unwrap().data;
        let (one, other) = (made(), made());
        let code = one.text(CODE).unwrap();
        assert!(code.len() == 34 && code.split('-').all(|group| group.len() == 4));
        assert!(!code.contains(['i', 'l', 'o', 'u']));
        assert_ne!(Some(code), other.text(CODE));
        assert_ne!(open(&one).unwrap().key, open(&other).unwrap().key);
    }

    #[test]
    fn a_new_invite_is_later_than_the_one_before_whatever_the_clock_says() {
        let first = invite(&SecretData::default(), &request(), NOW).unwrap().data;
        let asked = InviteRequest { reset: Some("1".into()), ..request() };
        let second = invite(&first, &asked, NOW - 5_000).unwrap().data;
        assert_eq!(open(&second).unwrap().invited_at_ms, open(&first).unwrap().invited_at_ms + 1);
        assert_ne!(open(&second).unwrap().key, open(&first).unwrap().key);
    }

    #[test]
    fn kept_until_it_ends_and_then_replaced() {
        let request = request();
        let made = invite(&SecretData::default(), &request, NOW).unwrap();
        assert_eq!(made.change, Change::Created);
        assert!(!invite(&made.data, &request, NOW + 3_599_999).unwrap().changed());
        let renewed = invite(&made.data, &request, NOW + 3_600_000).unwrap();
        assert_eq!(renewed.change, Change::Renewed("it had ended"));
        assert!(renewed.data.get(CODE) != made.data.get(CODE));
    }

    #[test]
    fn another_word_asks_for_another_invite() {
        let first = invite(&SecretData::default(), &request(), NOW).unwrap().data;
        let asked = |word: &str| InviteRequest { reset: Some(word.into()), ..request() };
        let second = invite(&first, &asked("1"), NOW).unwrap();
        assert_eq!(second.change, Change::Renewed("a new one was asked for"));
        assert!(second.data.get(CODE) != first.get(CODE));
        let again = |request: &InviteRequest| invite(&second.data, request, NOW).unwrap().data;
        assert!(again(&asked("1")).get(CODE) == second.data.get(CODE));
        assert!(again(&request()).get(CODE) == second.data.get(CODE), "a word that is removed does nothing");
        assert!(again(&asked("2")).get(CODE) != second.data.get(CODE));
    }

    #[test]
    fn url_follows_the_relay_and_the_code_stays() {
        let made = invite(&SecretData::default(), &request(), NOW).unwrap();
        let moved =
            InviteRequest { relay_url: "https://chat.acme.example".into(), authority: Some([7; 32]), ..request() };
        let moved = invite(&made.data, &moved, NOW).unwrap();
        assert!(moved.changed() && moved.data.get(CODE) == made.data.get(CODE));
        let parsed: Invite = moved.data.text(URL).unwrap().parse().unwrap();
        assert!(parsed.transport == Transport::NetworkTls([7; 32]) && parsed.authority == "chat.acme.example");
        assert_eq!(grant(&moved.data).unwrap().code_digest, code_digest(&parsed.secret.registration_code()));
    }

    #[test]
    fn url_of_another_shape_is_refused() {
        for url in ["ftp://x", "chat.acme.example", "https://", "https://host/path"] {
            let request = InviteRequest { relay_url: url.into(), ..request() };
            assert!(invite(&SecretData::default(), &request, NOW).is_err(), "{url}");
        }
    }
}
