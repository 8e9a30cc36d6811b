//! The one error shape of all interfaces, and the one table from error to HTTP status and metric label.

use serde::{Deserialize, Serialize};

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
    /// A policy covers this conversation and its retention process is not among the recipients.
    RetentionRequired,
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
            Self::AlreadyRegistered | Self::RecipientsChanged | Self::RetentionRequired => 409,
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
            Self::RetentionRequired => "retention_required",
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
}

impl ApiError {
    /// An error with this code and message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
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
    fn unknown_code_reads_as_internal() {
        let e: ApiError = serde_json::from_str(r#"{"code":"from_the_future","message":"m"}"#).unwrap();
        assert_eq!(e.code, ErrorCode::Internal);
    }
}
