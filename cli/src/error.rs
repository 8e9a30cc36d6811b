//! One error for all commands: what kind it is, what happened, what to do. The kind decides the exit code.

use std::process::ExitCode;

use sotto_client::{Error, ListProblem, ProfileError, Refusal, StoreError, TransportError, TrustError, now_ms};
use sotto_wire::ErrorCode;

use crate::commands::time;

/// What kind of failure, and so which exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something went wrong here or at the other end.
    Failed,
    /// The command line or a file is not as it should be.
    Usage,
    /// Policy, or a check of trust, says no; the same command will not succeed without a change.
    Refused,
    /// The other end cannot be reached or cannot serve now: try again.
    Unreachable,
}

impl Kind {
    /// The exit code; documented in `--help`.
    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Unreachable => 4,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::Failed => "error",
            Self::Usage => "usage error",
            Self::Refused => "refused",
            Self::Unreachable => "not reachable",
        }
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct CliError {
    /// Decides the exit code.
    pub(crate) kind: Kind,
    /// What happened. Never holds secrets.
    pub(crate) message: String,
    /// What to do, where there is more to say than the message does.
    pub(crate) hint: Option<String>,
}

impl CliError {
    /// An error of this kind.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// Something went wrong.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// Wrong usage.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Adds what to do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The lines for standard error.
    pub(crate) fn render(&self) -> String {
        with_hint(format!("sotto: {}: {}", self.kind.word(), self.message), self.hint.as_deref())
    }
}

/// An error of the library in a remark, where the command goes on.
pub(crate) fn told(error: &Error) -> String {
    with_hint(error.to_string(), hint(error).as_deref())
}

fn with_hint(mut text: String, hint: Option<&str>) -> String {
    if let Some(hint) = hint {
        text.push_str("\n  hint: ");
        text.push_str(hint);
    }
    text
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        let kind = if error.is_retryable() { Kind::Unreachable } else { kind(&error) };
        Self { kind, message: error.to_string(), hint: hint(&error) }
    }
}

fn kind(error: &Error) -> Kind {
    match error {
        Error::Refused(Refusal::Empty | Refusal::NoRecipients | Refusal::TooManyAddresses { .. }) => Kind::Usage,
        Error::Trust(_)
        | Error::Refused(_)
        | Error::Link(_)
        | Error::Transport(TransportError::Certificate { .. } | TransportError::CertificateTime { .. }) => {
            Kind::Refused
        }
        Error::Profile(ProfileError::Missing(_) | ProfileError::PasswordNeeded(_) | ProfileError::Taken { .. }) => {
            Kind::Usage
        }
        Error::Profile(ProfileError::Wiped(_) | ProfileError::OldProtocol { .. }) => Kind::Refused,
        Error::Uncertain { source, .. } | Error::WrongClock { source, .. } => kind(source),
        Error::Relay(answer) => match answer.code {
            ErrorCode::Forbidden
            | ErrorCode::Suspended
            | ErrorCode::Locked
            | ErrorCode::WrongCredentials
            | ErrorCode::InviteInvalid
            | ErrorCode::RetentionRequired
            | ErrorCode::FederationDenied
            | ErrorCode::TooLarge => Kind::Refused,
            _ => Kind::Failed,
        },
        _ => Kind::Failed,
    }
}

/// What to do about an error of the library. The library says what has happened; only here it is known which commands there are.
pub(crate) fn hint(error: &Error) -> Option<String> {
    match error {
        Error::Transport(TransportError::CertificateTime { .. }) => {
            Some(format!("{}; if it is right, tell the administrator", look_at_the_clock()))
        }
        Error::Trust(TrustError::PrekeyTime { .. } | TrustError::RetentionTime { .. }) => Some(look_at_the_clock()),
        Error::WrongClock { .. } => Some("set the clock of this machine".to_owned()),
        Error::Transport(error) => transport(error).map(str::to_owned),
        Error::Relay(answer) => relay(answer.code).map(str::to_owned),
        Error::Profile(error) => profile(error).map(str::to_owned),
        Error::Store(StoreError::Busy) => Some("try again".to_owned()),
        Error::Store(StoreError::Newer(_)) => Some("update this program".to_owned()),
        Error::Trust(error) => trust(error),
        Error::Refused(error) => refusal(error).map(str::to_owned),
        Error::Unsettled { .. } => Some(
            "do not send it anew: `sotto outbox` shows it, and `sotto outbox --flush`, `sotto receive --follow` and \
             `sotto chat` try again"
                .to_owned(),
        ),
        Error::Uncertain { source, .. } => {
            let ask = "ask them whether it has come before you send it anew";
            Some(hint(source).map_or(ask.to_owned(), |hint| format!("{hint}; {ask}")))
        }
        _ => None,
    }
}

fn look_at_the_clock() -> String {
    format!("the clock of this machine says {}: set it, if that is wrong", time(now_ms()))
}

fn transport(error: &TransportError) -> Option<&'static str> {
    Some(match error {
        TransportError::Unreachable { .. } => "is it running, and is this machine online?",
        TransportError::Timeout { .. } => "try again",
        TransportError::Certificate { .. } => {
            "somebody may be in between; if the network's authority was renewed, ask the administrator for a new invite"
        }
        TransportError::Answer { .. } => "is it a relay of this version?",
        _ => return None,
    })
}

fn relay(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::InviteInvalid => {
            "an invite is good once and for a limited time; ask the administrator for a new one"
        }
        ErrorCode::Suspended => "the administrator has suspended this user; ask them",
        ErrorCode::Locked => "too many wrong passwords from here; the administrator can unlock the user",
        ErrorCode::FederationDenied => "both networks and your security group must allow it; ask the administrator",
        _ => return None,
    })
}

fn profile(error: &ProfileError) -> Option<&'static str> {
    Some(match error {
        ProfileError::Missing(_) => "make one with `sotto join INVITE --profile NAME`",
        ProfileError::Unfinished(_) => "run `sotto join` again with the same invite and password",
        ProfileError::Taken { .. } => "choose another profile",
        ProfileError::PasswordNeeded(_) => "give --password-file F, or set SOTTO_PASSWORD_FILE",
        ProfileError::Wiped(_) => "join again with `sotto devices link` on another device, or with a new invite",
        ProfileError::OldProtocol { .. } => {
            "ask the administrator for a new invite, and run `sotto join INVITE --profile NAME --replace`: the history is taken over"
        }
        ProfileError::Keyring(_) => {
            "choose `--unlock password` or `--unlock file` for `sotto join`, or `sotto unlock password`"
        }
        ProfileError::Busy { .. } => "wait until it ends, or end it",
        _ => return None,
    })
}

fn trust(error: &TrustError) -> Option<String> {
    Some(match error {
        TrustError::PolicyKey => "ask the administrator to compare the key's fingerprint".to_owned(),
        TrustError::Devices { problem: ListProblem::Future, .. } => {
            "compare the clock of this machine with theirs".to_owned()
        }
        TrustError::Devices { problem: ListProblem::Ended, address } => {
            format!("send it again when {address} has connected with a device")
        }
        TrustError::Devices { address, .. } => format!(
            "one of {address}'s devices puts the relay right when it connects: send it again then, and tell the administrator"
        ),
        TrustError::OwnDevices => "run `sotto devices`, and tell the administrator".to_owned(),
        TrustError::Rollback { .. } => "tell the administrator: the relay holds back what is newer, or was set back; where it was restored \
                                        from a backup, the operator puts that right by itself within a minute"
            .to_owned(),
        TrustError::Clock { .. } => "set the clock of this machine; if it is right, tell the administrator".to_owned(),
        TrustError::Expired { .. } => {
            "look at the clock of this machine; if it is right, tell the administrator, who can see with `sotto status` whether the \
             operator works"
                .to_owned()
        }
        TrustError::IdentityChanged(who) => format!(
            "ask them by another way, then run `sotto verify {who} --accept-change` and compare the safety number again"
        ),
        TrustError::NotTheCompared(who) => {
            format!("run `sotto verify {who}`, compare the number that it prints, and confirm then")
        }
        TrustError::NotVouchedFor(who) => format!(
            "tell the administrator: somebody may be in between; where {who} has joined before this version, they need a new invite"
        ),
        TrustError::NotThisInvite => "ask the administrator for a new invite".to_owned(),
        TrustError::OwnIdentity => "tell the administrator".to_owned(),
        TrustError::RegisteredElsewhere(_) => {
            "if it was not you, tell the administrator, who can reset the user and make a new invite".to_owned()
        }
        TrustError::AnotherIdentity => "make a new link with `sotto devices link` on your other device".to_owned(),
        _ => return None,
    })
}

fn refusal(error: &Refusal) -> Option<&'static str> {
    Some(match error {
        Refusal::DirectoryExpired { .. } => "tell the administrator; look at the clock of this machine, too",
        Refusal::ExpiryTooLong { .. } => "choose a shorter --expires",
        Refusal::BurnTooLong { .. } => "choose a shorter --burn",
        Refusal::NoConversation(_) => "`sotto conversations` lists those that there are",
        Refusal::EarlierWaits => "see `sotto outbox`",
        Refusal::RetentionProcess(_) => {
            "leave it out: where a policy retains a conversation, its retention process gets everything without being named"
        }
        Refusal::RoomStopped(_) => "`sotto room create` makes a new one",
        Refusal::NoRecipients => "name at least one address; a note to yourself needs a second device",
        Refusal::TooLong { .. } => "send a long text as a file, with --file",
        Refusal::RecipientsKeepChanging => "try again",
        Refusal::DeviceRemoved(_) => {
            "run `sotto devices link` on another device of yours, and join by the link with a new profile; where there is none, ask for a new invite"
        }
        Refusal::NoSuchCode => {
            "compare it with what the other device shows, and leave that one running; a code is good for a day"
        }
        Refusal::OwnDevice => "remove it from another device, or run `sotto devices reset` there",
        Refusal::NoRecoveryKey | Refusal::WrongRecoveryKey => {
            "leave --recovery-key-file out, and approve the device on another one"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use sotto_crypto::{Address, DeviceId};
    use sotto_wire::ApiError;

    use super::*;

    #[test]
    fn an_error_says_kind_and_hint() {
        let error = CliError::usage("no text").hint("add one");
        assert_eq!(error.render(), "sotto: usage error: no text\n  hint: add one");
    }

    #[test]
    fn the_kind_of_an_error_decides_the_exit_code() {
        let relay = |code| CliError::from(Error::from(ApiError::new(code, "m"))).kind;
        assert_eq!(relay(ErrorCode::FederationDenied), Kind::Refused);
        assert_eq!(relay(ErrorCode::Unavailable), Kind::Unreachable);
        assert_eq!(relay(ErrorCode::NotFound), Kind::Failed);
        assert_eq!(CliError::from(Error::from(TrustError::PolicyKey)).kind, Kind::Refused);
        assert_eq!(CliError::from(Error::from(Refusal::Empty)).kind, Kind::Usage);
    }

    #[test]
    fn what_the_library_does_not_say_is_said_here() {
        let bob = || Address::parse("bob@x.example").unwrap();
        let dir = || PathBuf::from("/p");
        let source = Box::new(TransportError::Timeout { relay: "r".into() }.into());
        let unsettled = Error::Unsettled { message: sotto_crypto::MessageId::from_bytes([0; 16]), source };
        let uncertain = |source: Error| {
            let message = sotto_crypto::MessageId::from_bytes([0; 16]);
            Error::Uncertain { message, source: Box::new(source) }
        };
        let clock = sotto_client::WrongClock { ahead: false, by_ms: 7 * 60_000 };
        let source = Box::new(TrustError::PrekeyTime { address: bob(), expired: false }.into());
        let wrong_clock = Error::WrongClock { clock, source };
        assert_eq!(
            wrong_clock.to_string(),
            "the key of a device of bob@x.example is not valid yet by this machine's clock; nothing was sent; the clock of this machine \
             is 7 minutes behind the relay's"
        );
        assert_eq!(CliError::from(uncertain(TrustError::PolicyKey.into())).kind, Kind::Refused);
        let remedies: Vec<(Error, &str)> = vec![
            (uncertain(Refusal::NotModerator.into()), "whether it has come"),
            (uncertain(TrustError::IdentityChanged(bob()).into()), "--accept-change"),
            (TransportError::Unreachable { relay: "r".into(), reason: "no".into() }.into(), "is it running"),
            (TransportError::Certificate { relay: "r".into(), reason: "no".into() }.into(), "in between"),
            (
                TransportError::CertificateTime { relay: "r".into(), expired: false }.into(),
                "the clock of this machine says",
            ),
            (TrustError::PrekeyTime { address: bob(), expired: true }.into(), "set it, if that is wrong"),
            (TrustError::RetentionTime { address: bob() }.into(), "set it, if that is wrong"),
            (wrong_clock, "set the clock of this machine"),
            (ProfileError::Missing(dir()).into(), "`sotto join INVITE --profile NAME`"),
            (ProfileError::Unfinished(dir()).into(), "same invite"),
            (ProfileError::PasswordNeeded(dir()).into(), "--password-file"),
            (ProfileError::Wiped(dir()).into(), "`sotto devices link`"),
            (ProfileError::Keyring("none".into()).into(), "--unlock password"),
            (StoreError::Newer(9).into(), "update"),
            (TrustError::IdentityChanged(bob()).into(), "`sotto verify bob@x.example --accept-change`"),
            (TrustError::NotTheCompared(bob()).into(), "`sotto verify bob@x.example`"),
            (TrustError::AnotherIdentity.into(), "`sotto devices link`"),
            (Refusal::ExpiryTooLong { max_seconds: 1 }.into(), "--expires"),
            (Refusal::BurnTooLong { max_seconds: 1 }.into(), "--burn"),
            (Refusal::NoConversation("x".into()).into(), "`sotto conversations`"),
            (Refusal::EarlierWaits.into(), "`sotto outbox`"),
            (Refusal::DeviceRemoved(DeviceId::from_bytes([0; 16])).into(), "devices link"),
            (Refusal::OwnDevice.into(), "`sotto devices reset`"),
            (Refusal::RetentionProcess(bob()).into(), "leave it out"),
            (Refusal::RoomStopped(bob()).into(), "`sotto room create`"),
            (unsettled, "do not send it anew"),
            (ApiError::new(ErrorCode::Locked, "m").into(), "unlock the user"),
        ];
        for (error, word) in remedies {
            let said = CliError::from(error).render();
            assert!(said.split_once("\n  hint: ").is_some_and(|(_, hint)| hint.contains(word)), "{said}: no {word}");
        }
    }
}
