//! Links: sealed bytes between the devices of one account, among them one that is still to become a device.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use data_encoding::HEXLOWER;
use sotto_wire::ErrorCode;
use sotto_wire::limits::{
    LINK_SECONDS, LINK_WAIT_SECONDS, MAX_LINK_BYTES_A_USER, MAX_LINK_SLOT, MAX_LINK_SLOTS, MAX_LINKS_A_USER,
};
use tokio::time::{Instant, timeout_at};

use super::blobs::octets;
use super::{DONE, Empty, Params};
use crate::auth::Account;
use crate::error::{Failure, Reply};
use crate::extract::read;
use crate::state::Shared;
use crate::store::{LinkBounds, LinkId, NewSlot, PutSlot};

const BOUNDS: LinkBounds = LinkBounds { links: MAX_LINKS_A_USER, bytes: MAX_LINK_BYTES_A_USER };

pub(crate) async fn put(State(app): State<Shared>, account: Account, params: Params, request: Request) -> Empty {
    let (link, slot) = (link(&params)?, slot(&params)?);
    let bytes = read(request.into_body(), MAX_LINK_SLOT).await?.to_vec();
    let now_ms = app.now_ms();
    let expires_at_ms = now_ms.saturating_add(LINK_SECONDS * 1000);
    let local = account.local().to_owned();
    let new = NewSlot { local, link, slot, bytes, expires_at_ms };
    match app.store.put_slot(new, BOUNDS, now_ms).await? {
        PutSlot::Stored => {
            app.registry.link_written(account.local());
            Ok(DONE)
        }
        PutSlot::Taken => Err(Failure::invalid("path, slot: there are other bytes in it; each slot is written once")),
        PutSlot::TooMany => {
            Err(Failure::forbidden(format!("links: a user has {MAX_LINKS_A_USER} at a time; remove one first")))
        }
        PutSlot::TooMuch => Err(Failure::new(
            ErrorCode::TooLarge,
            format!("links: a user's hold {MAX_LINK_BYTES_A_USER} bytes together; remove one first"),
        )),
        PutSlot::NoUser => Err(Failure::unauthenticated()),
    }
}

pub(crate) async fn get(State(app): State<Shared>, account: Account, params: Params) -> Reply<Response> {
    let (link, slot) = (link(&params)?, slot(&params)?);
    let until = Instant::now() + app.link_wait;
    loop {
        // Listened for before looking: what is written in between is heard.
        let mut written = std::pin::pin!(app.registry.link_changed(account.local()));
        written.as_mut().enable();
        if let Some(bytes) = app.store.slot(account.local().to_owned(), link, slot, app.now_ms()).await? {
            return Ok(octets(Body::from(bytes)));
        }
        if app.registry.is_closing() {
            return Err(Failure::new(ErrorCode::Unavailable, "the relay is stopping; try again"));
        }
        if timeout_at(until, written).await.is_err() {
            return Err(Failure::not_found("there is nothing in this slot yet; ask again"));
        }
    }
}

pub(crate) async fn delete(State(app): State<Shared>, account: Account, params: Params) -> Empty {
    app.store.delete_link(account.local().to_owned(), link(&params)?).await?;
    Ok(DONE)
}

/// How long a request for an empty slot waits.
pub(crate) const WAIT: Duration = Duration::from_secs(LINK_WAIT_SECONDS);

fn link(params: &Params) -> Reply<LinkId> {
    let bytes = HEXLOWER.decode(params.text("link").as_bytes()).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| Failure::invalid("path, link: 32 lower-case hexadecimal digits are expected"))
}

fn slot(params: &Params) -> Reply<u32> {
    let slot: u32 = params.parse("slot")?;
    if slot >= MAX_LINK_SLOTS {
        return Err(Failure::invalid(format!("path, slot: {slot}, at most {} is allowed", MAX_LINK_SLOTS - 1)));
    }
    Ok(slot)
}

impl Account {
    fn local(&self) -> &str {
        self.address.local()
    }
}
