//! The client library as an inbox: the one module that turns its types into ours.

use std::collections::BTreeMap;
use std::path::Path;

use sotto_client::{Acker, AttachmentError, Client, Error, Receipt, ReceivedMessage, UnopenedMessage};
use sotto_crypto::{Address, RecipientList};
use sotto_wire::ErrorCode;
use sotto_wire::content::{Content, File};

use crate::item::{Fault, Item, SenderKeys};
use crate::keeper::{FetchError, Inbox};

/// What is received over one connection of a client.
pub(crate) struct ClientInbox {
    /// To fetch files with.
    pub(crate) client: Client,
    /// To acknowledge with.
    pub(crate) acker: Acker,
}

impl Inbox for ClientInbox {
    type Receipt = Receipt;

    async fn ack(&self, receipt: Receipt) -> Result<(), String> {
        self.acker.ack(vec![receipt]).await.map_err(|e| e.to_string())
    }

    async fn names(&self, people: &[Address]) -> BTreeMap<Address, String> {
        self.client.contacts().learn_names(people).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "how people are called cannot be looked up; the record has their addresses");
            BTreeMap::new()
        })
    }

    async fn fetch(&self, file: &File, to: &Path) -> Result<u64, FetchError> {
        let local = |e: std::io::Error| FetchError::Local(format!("{}: {e}", to.display()));
        let mut options = tokio::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        options.mode(0o640);
        let mut output = options.open(to).await.map_err(local)?;
        let bytes = self.client.files().download(file, &mut output, |_, _| ()).await.map_err(|e| fetch_error(&e))?;
        output.sync_all().await.map_err(local)?;
        Ok(bytes)
    }
}

/// What a failed download means.
fn fetch_error(error: &Error) -> FetchError {
    let text = error.to_string();
    match (error, error.code()) {
        (Error::Attachment(AttachmentError::Io(_)) | Error::Profile(_) | Error::Store(_), _) => FetchError::Local(text),
        (Error::Attachment(_), _) => FetchError::Gone(text),
        (_, Some(ErrorCode::Suspended | ErrorCode::Unauthenticated)) => FetchError::Unreachable(text),
        (_, Some(code)) if code.is_retryable() => FetchError::Refused(text),
        (_, Some(_)) => FetchError::Gone(text),
        // A relay that cannot be reached or proves to be another one, a device that was removed: then nothing else
        // works either.
        _ => FetchError::Unreachable(text),
    }
}

/// A good message.
pub(crate) fn message(message: ReceivedMessage) -> Item<Receipt> {
    let receipt = message.receipt();
    Item {
        accepted_at_ms: message.accepted_at_ms,
        message: Some(message.message),
        conflicts_with: message.conflicts_with,
        commitment: Some(message.commitment),
        sender: Some(message.sender),
        device: Some(message.sender_device),
        keys: Some(SenderKeys {
            identity: message.sender_identity,
            device: message.sender_device_key,
            established_by: message.established_by,
        }),
        recipients: addresses(&message.recipients),
        names: BTreeMap::new(),
        late: message.late,
        from_removed_device: message.removed.from,
        content: Some(message.content),
        fault: None,
        receipt,
    }
}

/// A delivery that is no good message. Where it opened, what it says is kept too, whatever is wrong with it.
pub(crate) fn unopened(unopened: UnopenedMessage) -> Item<Receipt> {
    let receipt = unopened.receipt();
    let (mut keys, mut recipients, mut content, mut raw) = (None, Vec::new(), None, None);
    if let Some(opened) = unopened.opened {
        keys = Some(SenderKeys {
            identity: opened.sender_identity,
            device: opened.sender_device_key,
            established_by: opened.established_by,
        });
        recipients = addresses(&opened.recipients);
        match sotto_crypto::decode_strict::<Content>(&opened.content) {
            Ok(readable) if readable.version == 1 => content = Some(readable),
            _ => raw = Some(opened.content),
        }
    }
    Item {
        accepted_at_ms: unopened.accepted_at_ms,
        message: unopened.message,
        conflicts_with: None,
        commitment: None,
        sender: unopened.sender,
        device: unopened.sender_device,
        keys,
        recipients,
        names: BTreeMap::new(),
        late: false,
        from_removed_device: false,
        content,
        fault: Some(Fault { reason: unopened.reason.to_string(), sealed: unopened.sealed, raw }),
        receipt,
    }
}

fn addresses(recipients: &RecipientList) -> Vec<Address> {
    recipients.users().map(|user| user.address()).collect()
}

#[cfg(test)]
mod tests {
    use sotto_client::TransportError;
    use sotto_wire::ApiError;

    use super::*;

    #[test]
    fn what_is_gone_is_told_from_what_may_come() {
        let relay = |code| fetch_error(&ApiError::new(code, "no").into());
        for code in [ErrorCode::NotFound, ErrorCode::Forbidden, ErrorCode::FederationDenied, ErrorCode::Invalid] {
            assert!(matches!(relay(code), FetchError::Gone(_)), "{code:?}");
        }
        for code in [ErrorCode::PeerUnavailable, ErrorCode::Internal, ErrorCode::RateLimited] {
            assert!(matches!(relay(code), FetchError::Refused(_)), "{code:?}");
        }
        let timeout = Error::from(TransportError::Timeout { relay: "http://r".into() });
        assert!(matches!(fetch_error(&timeout), FetchError::Unreachable(_)));
        let full = Error::from(AttachmentError::Io(std::io::ErrorKind::StorageFull.into()));
        assert!(matches!(fetch_error(&full), FetchError::Local(_)));
        let cut = Error::from(AttachmentError::Unopenable("cut off".into()));
        assert!(matches!(fetch_error(&cut), FetchError::Gone(_)));
    }
}
