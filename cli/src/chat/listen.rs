//! Receives for as long as the interface lives: connects, acknowledges, tells.

use std::future::ready;
use std::time::Duration;

use sotto_client::{Client, Error, Event, ProfileError, Receiver, now_ms};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::effect::{Link, News};
use super::work::told;
use crate::commands::acks::Acks;
use crate::commands::devices::own_device;

/// After this time a profile that another process receives for is tried again.
const BUSY: Duration = Duration::from_secs(5);
/// After this time what failed for good is tried again: an administrator may have put it right.
const FAILED: Duration = Duration::from_mins(1);

/// Receives until `stop`. Then tells the relay of all that was acknowledged, and ends.
pub(crate) async fn listen(client: Client, news: mpsc::UnboundedSender<News>, mut stop: oneshot::Receiver<()>) {
    loop {
        let (link, wait) = match client.receive(true) {
            Ok(mut receiver) => {
                let _ = news.send(News::Link(Link::Connecting));
                let ended = tokio::select! {
                    ended = converse(&mut receiver, &news) => ended,
                    _ = &mut stop => {
                        receiver.close().await;
                        return;
                    }
                };
                receiver.close().await;
                let reason = ended.map_or_else(|| "receiving has ended".to_owned(), |e| told(&e));
                (Link::Away { reason, again_at_ms: at(FAILED) }, FAILED)
            }
            Err(error @ Error::Profile(ProfileError::Busy { .. })) => {
                (Link::Elsewhere { reason: error.to_string(), again_at_ms: at(BUSY) }, BUSY)
            }
            Err(error) => (Link::Away { reason: told(&error), again_at_ms: at(FAILED) }, FAILED),
        };
        if news.send(News::Link(link)).is_err() {
            return;
        }
        tokio::select! {
            () = sleep(wait) => {}
            _ = &mut stop => return,
        }
    }
}

fn at(wait: Duration) -> u64 {
    now_ms().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

/// One receiver, until it ends; gives why.
async fn converse(receiver: &mut Receiver, news: &mpsc::UnboundedSender<News>) -> Option<Error> {
    let mut acks = Acks::of(receiver);
    let mut told = Vec::new();
    loop {
        // What is there already is handled together; what is told is in the store by then.
        let event = tokio::select! {
            biased;
            event = receiver.next(), if !acks.is_full() => event,
            () = ready(()), if !told.is_empty() => {
                if let Err(error) = acks.send().await {
                    return Some(error);
                }
                if told.drain(..).any(|one| news.send(one).is_err()) {
                    return None;
                }
                continue;
            }
        };
        match event? {
            Ok(event) => told.extend(handle(&mut acks, event)),
            Err(error) => {
                // What cannot be acknowledged comes again.
                let _ = acks.send().await;
                told.drain(..).for_each(|one| drop(news.send(one)));
                return Some(error);
            }
        }
    }
}

/// What there is to show, when what has come is acknowledged.
fn handle(acks: &mut Acks, event: Event) -> Vec<News> {
    match event {
        Event::Message(message) => {
            acks.add(message.receipt());
            vec![News::Came {
                id: message.conversation.id(),
                sender: message.sender.clone(),
                identity_changed: message.identity_changed,
            }]
        }
        Event::Unopened(unopened) => {
            let from = unopened.sender.as_ref().map_or_else(|| "somebody".to_owned(), ToString::to_string);
            let reason = &unopened.reason;
            acks.add(unopened.receipt());
            vec![News::Note(format!("a message that claims to be from {from} cannot be shown: {reason}"))]
        }
        Event::Refused(refused) => {
            vec![News::Warning(format!("A message of yours was refused by {}: {}.", refused.domain, refused.reason))]
        }
        Event::Waiting(waiting) => vec![News::Waiting(waiting)],
        Event::Devices(devices) => devices.iter().map(|device| News::Warning(own_device(device))).collect(),
        Event::CaughtUp => vec![News::Link(Link::Online)],
        Event::Disconnected(error, wait) => {
            // It is tried again by itself, and there is one line for it.
            vec![News::Link(Link::Away { reason: error.to_string(), again_at_ms: at(wait) })]
        }
        Event::Changed(id) => vec![News::Changed(id)],
        Event::Typing { conversation, who, on } => vec![News::Typing { id: conversation, who, on }],
        Event::Presence { who, state } => vec![News::Presence { who, state }],
        // Events that a newer library adds.
        _ => Vec::new(),
    }
}
