//! The URL by which a new device finds its user's network: nothing in it is secret.
//!
//! `sotto://HOST[:PORT]/link?user=ADDRESS&identity=FINGERPRINT&key=FINGERPRINT[&ca=SHA256HEX|&tls=off]`
//!
//! `identity` is the fingerprint of the user's identity key, which the new device must get; the rest is as in an invite
//! ([`crate::invite`]).

use std::str::FromStr;

use sotto_crypto::{Address, Fingerprint};

use crate::invite::{Transport, is_authority, split};

/// Where a new device finds its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkUrl {
    /// `host:port` or `host` of the relay.
    pub authority: String,
    /// How to reach it.
    pub transport: Transport,
    /// Whose device it becomes.
    pub address: Address,
    /// Fingerprint of the user's identity.
    pub identity: Fingerprint,
    /// Policy key to pin.
    pub policy_key: Fingerprint,
}

/// Why a text is no link.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkUrlError {
    /// Not this scheme or path.
    #[error("a link starts with sotto:// and goes on HOST:PORT/link?…")]
    Form,
    /// A part is missing.
    #[error("the link lacks `{0}`")]
    Missing(&'static str),
    /// A part cannot be read.
    #[error("the link's `{0}` cannot be read")]
    Bad(&'static str),
}

impl LinkUrl {
    /// Whether a text is meant to be a link, and not an invite.
    pub fn is_meant(text: &str) -> bool {
        text.trim().starts_with("sotto://") && text.contains("/link?")
    }

    /// Base URL of the relay: `http://…` or `https://…`, without a slash at the end.
    pub fn base_url(&self) -> String {
        self.transport.base_url(&self.authority)
    }

    /// The URL.
    pub fn to_url(&self) -> String {
        let mut url = format!(
            "sotto://{}/link?user={}&identity={}&key={}",
            self.authority, self.address, self.identity, self.policy_key
        );
        self.transport.push_to(&mut url);
        url
    }
}

impl FromStr for LinkUrl {
    type Err = LinkUrlError;

    fn from_str(text: &str) -> Result<Self, LinkUrlError> {
        let (authority, query) = split(text, "/link?").ok_or(LinkUrlError::Form)?;
        if !is_authority(authority) {
            return Err(LinkUrlError::Bad("host"));
        }
        let (mut address, mut identity, mut key, mut transport) = (None, None, None, Transport::PublicTls);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').ok_or(LinkUrlError::Form)?;
            match name {
                "user" => address = Some(Address::parse(value).map_err(|_| LinkUrlError::Bad("user"))?),
                "identity" => {
                    identity = Some(value.parse::<Fingerprint>().map_err(|_| LinkUrlError::Bad("identity"))?);
                }
                "key" => key = Some(value.parse::<Fingerprint>().map_err(|_| LinkUrlError::Bad("key"))?),
                "ca" => transport = Transport::of_ca(value).ok_or(LinkUrlError::Bad("ca"))?,
                "tls" => transport = Transport::of_tls(value).ok_or(LinkUrlError::Bad("tls"))?,
                // Parts that a newer version added are for newer clients.
                _ => {}
            }
        }
        Ok(Self {
            authority: authority.to_owned(),
            transport,
            address: address.ok_or(LinkUrlError::Missing("user"))?,
            identity: identity.ok_or(LinkUrlError::Missing("identity"))?,
            policy_key: key.ok_or(LinkUrlError::Missing("key"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn link(transport: Transport) -> LinkUrl {
        LinkUrl {
            authority: "127.0.0.1:7443".into(),
            transport,
            address: Address::parse("alice@chat.acme.example").unwrap(),
            identity: Fingerprint::from_bytes([1; 32]),
            policy_key: Fingerprint::from_bytes([2; 32]),
        }
    }

    #[test]
    fn url_round_trip() {
        for transport in [Transport::Plain, Transport::PublicTls, Transport::NetworkTls([7; 32])] {
            let link = link(transport);
            assert!(LinkUrl::is_meant(&link.to_url()));
            assert_eq!(link.to_url().parse::<LinkUrl>().unwrap(), link);
        }
        assert!(!LinkUrl::is_meant("sotto://h/join?x"));
    }

    #[test]
    fn errors_name_the_part() {
        let url = link(Transport::Plain).to_url();
        assert_eq!("sotto://x/join?".parse::<LinkUrl>(), Err(LinkUrlError::Form));
        assert_eq!(url.replace("&identity=", "&other=").parse::<LinkUrl>(), Err(LinkUrlError::Missing("identity")));
        assert_eq!(url.replace("alice@", "al ice@").parse::<LinkUrl>(), Err(LinkUrlError::Bad("user")));
        assert_eq!(url.replace("tls=off", "tls=no").parse::<LinkUrl>(), Err(LinkUrlError::Bad("tls")));
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,200}") {
            let _ = text.parse::<LinkUrl>();
            let _ = format!("sotto://h/link?{text}").parse::<LinkUrl>();
        }
    }
}
