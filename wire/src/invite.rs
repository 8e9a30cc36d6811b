//! The URL by which a user registers.
//!
//! `sotto://HOST[:PORT]/join?user=ADDRESS&code=CODE&key=FINGERPRINT[&ca=SHA256HEX|&tls=off]`
//!
//! `code` is the secret of the invite ([`InviteSecret`]): what is shown to the relay is derived from it, and so is the key that
//! vouches for the identity. `key` is the fingerprint of the network's policy key, which the client pins. `ca` is the SHA-256 of the network's own
//! certificate authority (DER), where the relay's certificate comes from it; without `ca` the public authorities count.
//! `tls=off` is for a relay on a trusted path (this machine, a service mesh): message secrecy does not depend on TLS.

use std::fmt;
use std::str::FromStr;

use sotto_crypto::{Address, Fingerprint, InviteSecret};

/// How the client reaches the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Plain HTTP.
    Plain,
    /// TLS with a certificate of the public authorities.
    PublicTls,
    /// TLS with a certificate of the network's own authority: SHA-256 of its DER.
    NetworkTls([u8; 32]),
}

impl Transport {
    /// Base URL of the relay at `authority`: `http://…` or `https://…`, without a slash at the end.
    pub(crate) fn base_url(&self, authority: &str) -> String {
        let scheme = if *self == Self::Plain { "http" } else { "https" };
        format!("{scheme}://{authority}")
    }

    /// Adds its part to the query of a URL of ours.
    pub(crate) fn push_to(&self, url: &mut String) {
        match self {
            Self::Plain => url.push_str("&tls=off"),
            Self::PublicTls => {}
            Self::NetworkTls(ca) => {
                url.push_str("&ca=");
                url.push_str(&data_encoding::HEXLOWER.encode(ca));
            }
        }
    }

    /// What the part `ca` says.
    pub(crate) fn of_ca(value: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER.decode(value.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self::NetworkTls)
    }

    /// What the part `tls` says.
    pub(crate) fn of_tls(value: &str) -> Option<Self> {
        (value == "off").then_some(Self::Plain)
    }
}

/// Authority and query of a URL of ours with this path and the `?` behind it.
pub(crate) fn split<'a>(text: &'a str, path: &str) -> Option<(&'a str, &'a str)> {
    text.trim().strip_prefix("sotto://")?.split_once(path)
}

/// Whether a text can be `host` or `host:port`.
pub(crate) fn is_authority(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-.:[]".contains(c))
}

/// An invite. It holds the code, so it is a secret until it is used: no Debug, no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Invite {
    /// `host:port` or `host` of the relay.
    pub authority: String,
    /// How to reach it.
    pub transport: Transport,
    /// Who is invited.
    pub address: Address,
    /// Its secret: registers, and vouches for the identity that is registered.
    pub secret: InviteSecret,
    /// Policy key to pin.
    pub policy_key: Fingerprint,
}

/// Why a text is no invite.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// Not this scheme or path.
    #[error("an invite starts with sotto:// and goes on HOST:PORT/join?…")]
    Form,
    /// A part is missing.
    #[error("the invite lacks `{0}`")]
    Missing(&'static str),
    /// A part cannot be read.
    #[error("the invite's `{0}` cannot be read")]
    Bad(&'static str),
}

/// Hex digest under which the relay knows a code.
pub fn code_digest(code: &str) -> String {
    let mut input = b"sotto/2 invite\0".to_vec();
    input.extend_from_slice(code.as_bytes());
    data_encoding::HEXLOWER.encode(&sotto_crypto::digest(&input))
}

impl Invite {
    /// Base URL of the relay: `http://…` or `https://…`, without a slash at the end.
    pub fn base_url(&self) -> String {
        self.transport.base_url(&self.authority)
    }

    /// The URL. Not `Display`, so that it does not slip into a log.
    pub fn to_url(&self) -> String {
        let secret = self.secret.to_text();
        let mut url =
            format!("sotto://{}/join?user={}&code={}&key={}", self.authority, self.address, *secret, self.policy_key);
        self.transport.push_to(&mut url);
        url
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    fn from_str(text: &str) -> Result<Self, InviteError> {
        let (authority, query) = split(text, "/join?").ok_or(InviteError::Form)?;
        if !is_authority(authority) {
            return Err(InviteError::Bad("host"));
        }
        let (mut address, mut secret, mut key, mut transport) = (None, None, None, Transport::PublicTls);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').ok_or(InviteError::Form)?;
            match name {
                "user" => address = Some(Address::parse(value).map_err(|_| InviteError::Bad("user"))?),
                "code" => secret = Some(InviteSecret::parse(value).map_err(|_| InviteError::Bad("code"))?),
                "key" => key = Some(value.parse::<Fingerprint>().map_err(|_| InviteError::Bad("key"))?),
                "ca" => transport = Transport::of_ca(value).ok_or(InviteError::Bad("ca"))?,
                "tls" => transport = Transport::of_tls(value).ok_or(InviteError::Bad("tls"))?,
                // Parts that a newer version added are for newer clients.
                _ => {}
            }
        }
        Ok(Self {
            authority: authority.to_owned(),
            transport,
            address: address.ok_or(InviteError::Missing("user"))?,
            secret: secret.ok_or(InviteError::Missing("code"))?,
            policy_key: key.ok_or(InviteError::Missing("key"))?,
        })
    }
}

/// Says nothing of the code.
impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invite")
            .field("authority", &self.authority)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn invite(transport: Transport) -> Invite {
        let key = sotto_crypto::PolicyKey::generate(&mut sotto_crypto::SystemRng).verifying_key().fingerprint();
        Invite {
            authority: "127.0.0.1:7443".into(),
            transport,
            address: Address::parse("alice@chat.acme.example").unwrap(),
            secret: InviteSecret::parse("abcd-2345-abcd-2345-abcd-2345-abcd").unwrap(),
            policy_key: key,
        }
    }

    #[test]
    fn url_round_trip() {
        for transport in [Transport::Plain, Transport::PublicTls, Transport::NetworkTls([7; 32])] {
            let invite = invite(transport);
            assert!(invite.to_url().parse::<Invite>().unwrap() == invite);
        }
    }

    #[test]
    fn errors_name_the_part() {
        let url = invite(Transport::Plain).to_url();
        assert_eq!("http://x/join?".parse::<Invite>(), Err(InviteError::Form));
        assert_eq!(
            url.replace("&code=abcd-2345-abcd-2345-abcd-2345-abcd", "").parse::<Invite>(),
            Err(InviteError::Missing("code"))
        );
        assert_eq!(url.replace("alice@", "al ice@").parse::<Invite>(), Err(InviteError::Bad("user")));
        assert_eq!(url.replace("&code=abcd-", "&code=").parse::<Invite>(), Err(InviteError::Bad("code")));
        assert_eq!(url.replace("tls=off", "tls=no").parse::<Invite>(), Err(InviteError::Bad("tls")));
    }

    #[test]
    fn debug_hides_the_code() {
        assert!(!format!("{:?}", invite(Transport::Plain)).contains("abcd"));
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,200}") {
            let _ = text.parse::<Invite>();
            let _ = format!("sotto://h/join?{text}").parse::<Invite>();
        }
    }
}
