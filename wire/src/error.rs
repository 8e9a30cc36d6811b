//! The one error shape of all interfaces, and the one table from error to HTTP status and metric label.

use serde::{Deserialize, Serialize};
use sotto_crypto::Address;

/// Says what went wrong in words that a program can match. New codes may be added; an unknown one reads as
/// [`ErrorCode::Internal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request cannot be read or breaks a bound; the message names the field.
    Invalid,
    /// No such thing: user, device, blob, route.
    NotFound,
    /// No token, or one that is not valid (any more): authenticate again.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// The user is suspended by the administrator.
    Suspended,
    /// Too many wrong passwords; an administrator unlocks.
    Locked,
    /// Unknown user or wrong password: which of them is not said.
    WrongCredentials,
    /// The invite is unknown, used or expired.
    InviteInvalid,
    /// The user has registered before; log in instead.
    AlreadyRegistered,
    /// The device list that the sender used is not current: fetch recipients again.
    RecipientsChanged,
    /// The list of the user's devices is not the one any more that the new one was made from: fetch it again.
    DevicesChanged,
    /// A policy covers this conversation and its retention process is not among the recipients.
    RetentionRequired,
    /// The directory head is not over the documents that the relay holds: put them again, and then a new head.
    DirectoryChanged,
    /// Federation with this network is not allowed; the message says by which side and rule.
    FederationDenied,
    /// The peer network cannot be reached now; try again later.
    PeerUnavailable,
    /// The recipient's queue is full.
    MailboxFull,
    /// A body is larger than its bound.
    TooLarge,
    /// Too many requests.
    RateLimited,
    /// The relay is starting or stopping, or its store is out of reach; try again.
    Unavailable,
    /// A fault of the server; details are in its log only.
    #[serde(other)]
    Internal,
}

impl ErrorCode {
    /// HTTP status of an answer with this code.
    pub fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthenticated | Self::WrongCredentials => 401,
            Self::Forbidden | Self::Suspended | Self::InviteInvalid | Self::FederationDenied => 403,
            Self::NotFound => 404,
            Self::AlreadyRegistered
            | Self::RecipientsChanged
            | Self::DevicesChanged
            | Self::RetentionRequired
            | Self::DirectoryChanged => 409,
            Self::TooLarge => 413,
            Self::Locked => 423,
            Self::RateLimited | Self::MailboxFull => 429,
            Self::Internal => 500,
            Self::PeerUnavailable => 502,
            Self::Unavailable => 503,
        }
    }

    /// The code as it stands in JSON; also the label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Suspended => "suspended",
            Self::Locked => "locked",
            Self::WrongCredentials => "wrong_credentials",
            Self::InviteInvalid => "invite_invalid",
            Self::AlreadyRegistered => "already_registered",
            Self::RecipientsChanged => "recipients_changed",
            Self::DevicesChanged => "devices_changed",
            Self::RetentionRequired => "retention_required",
            Self::DirectoryChanged => "directory_changed",
            Self::FederationDenied => "federation_denied",
            Self::PeerUnavailable => "peer_unavailable",
            Self::MailboxFull => "mailbox_full",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// Whether the same request may succeed later without a change.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::PeerUnavailable | Self::MailboxFull | Self::RateLimited | Self::Unavailable | Self::Internal
        )
    }
}

/// An error answer: `{"code": …, "message": …}`. The message names the field and the remedy; it never holds
/// message text, keys, passwords or invite codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({})", code.as_str())]
pub struct ApiError {
    /// What went wrong.
    pub code: ErrorCode,
    /// For people: what happened and what to do.
    pub message: String,
    /// Whom it concerns, where a program can go on without them: with [`ErrorCode::NotFound`], those who cannot be written
    /// to.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "addresses")]
    pub addresses: Vec<Address>,
}

impl ApiError {
    /// An error with this code and message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), addresses: Vec::new() }
    }

    /// That concerns these people.
    #[must_use]
    pub fn about(mut self, addresses: Vec<Address>) -> Self {
        self.addresses = addresses;
        self
    }
}

/// Addresses as strings. What is no address is left out: a message for people has come with it all the same.
mod addresses {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use sotto_crypto::Address;

    /// More of them than a message can have recipients tell nothing.
    const MOST: usize = 1_000;

    pub(super) fn serialize<S: Serializer>(addresses: &[Address], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(addresses.iter().map(Address::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Address>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        Ok(texts.iter().take(MOST).filter_map(|text| Address::parse(text).ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_str_is_the_json_form() {
        for code in [ErrorCode::Invalid, ErrorCode::FederationDenied, ErrorCode::Internal, ErrorCode::MailboxFull] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[test]
    fn whom_an_error_concerns_is_named_as_data() {
        let bob = Address::parse("bob@x.example").unwrap();
        let error = ApiError::new(ErrorCode::NotFound, "no").about(vec![bob]);
        let text = serde_json::to_string(&error).unwrap();
        assert_eq!(text, r#"{"code":"not_found","message":"no","addresses":["bob@x.example"]}"#);
        assert_eq!(serde_json::from_str::<ApiError>(&text).unwrap(), error);
        let odd = r#"{"code":"not_found","message":"no","addresses":["bob@x.example","no address"]}"#;
        assert_eq!(serde_json::from_str::<ApiError>(odd).unwrap(), error);
        assert_eq!(
            serde_json::to_string(&ApiError::new(ErrorCode::Locked, "m")).unwrap(),
            r#"{"code":"locked","message":"m"}"#
        );
    }

    #[test]
    fn unknown_code_reads_as_internal() {
        let e: ApiError = serde_json::from_str(r#"{"code":"from_the_future","message":"m"}"#).unwrap();
        assert_eq!(e.code, ErrorCode::Internal);
    }
}
