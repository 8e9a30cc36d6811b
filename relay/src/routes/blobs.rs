//! Attachments: sealed bytes in, sealed bytes out. Who knows the id may fetch them; the key is in the message.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use sotto_crypto::{BlobId, Domain, SystemRng};
use sotto_wire::ErrorCode;
use sotto_wire::api::BlobStored;
use sotto_wire::limits::{MAX_BLOB, MAX_QUEUE_SECONDS};
use tokio_util::io::ReaderStream;

use super::Params;
use crate::auth::Caller;
use crate::blobs::BlobError;
use crate::deliver::no_gateway;
use crate::error::{Failure, Reply};
use crate::extract::Cbor;
use crate::policy::Side;
use crate::state::{App, Shared};
use crate::store::BlobMeta;

/// Bytes that one user's attachments may take together.
pub(crate) const QUOTA: u64 = 10 * 1024 * 1024 * 1024;

pub(crate) async fn upload(State(app): State<Shared>, caller: Caller, request: Request) -> Reply<Cbor<BlobStored>> {
    if !app.policy().group(&caller.group)?.files_enabled {
        return Err(Failure::forbidden("files are switched off for your security group"));
    }
    let length = content_length(request.headers());
    if length.is_some_and(|length| length > MAX_BLOB) {
        return Err(too_large());
    }
    // Before anything is read: what does not fit is not written to disk first. What is on its way counts too.
    let owner = caller.address.local().to_owned();
    let stored = app.store.blob_bytes(owner.clone()).await?;
    let room = app.blob_quota.saturating_sub(stored);
    let underway = app.uploads.begin(&owner, length, room).ok_or_else(quota)?;
    let blob = BlobId::generate(&mut SystemRng);
    let bytes = request.into_body().into_data_stream();
    let size = app.blobs.store(blob, bytes, underway.limit()).await.map_err(|error| match error {
        // A body without a length may be as large as there is room.
        BlobError::TooLarge if underway.limit() < MAX_BLOB => quota(),
        BlobError::TooLarge => too_large(),
        BlobError::Broken => Failure::invalid("body: it broke off"),
        BlobError::Disk(error) => Failure::internal("attachments", &error),
    })?;
    let expires_at_ms = app.now_ms().saturating_add(MAX_QUEUE_SECONDS * 1000);
    let meta = BlobMeta { size, expires_at_ms };
    let recorded = app.store.add_blob(blob, owner, meta, app.blob_quota).await;
    drop(underway);
    if !matches!(recorded, Ok(true)) {
        // What cannot be removed now is space lost, no more: nobody knows the id.
        let _ = app.blobs.remove(blob).await;
    }
    if !recorded? {
        return Err(quota());
    }
    Ok(Cbor(BlobStored { blob }))
}

pub(crate) async fn download(State(app): State<Shared>, caller: Caller, params: Params) -> Reply<Response> {
    let domain: Domain = params.parse("domain")?;
    let blob: BlobId = params.parse("blob")?;
    if domain == app.domain {
        return local(&app, blob).await;
    }
    app.policy().federation(Side::Sender, &app.domain, &caller.group, &domain)?;
    let gateway = app.gateway.as_ref().ok_or_else(|| no_gateway(&app))?;
    let bytes = gateway.blob(&domain, blob).await?;
    Ok(octets(Body::from_stream(bytes)))
}

/// An attachment of this network.
pub(super) async fn local(app: &App, blob: BlobId) -> Reply<Response> {
    let gone = || Failure::not_found("there is no such attachment, or its time is over");
    let meta = app.store.blob(blob, app.now_ms()).await?.ok_or_else(gone)?;
    let file = app.blobs.read(blob).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => gone(),
        _ => Failure::internal("attachments", &error),
    })?;
    let mut response = octets(Body::from_stream(ReaderStream::with_capacity(file, 64 * 1024)));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(meta.size));
    Ok(response)
}

pub(super) fn octets(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response()
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn quota() -> Failure {
    Failure::new(ErrorCode::TooLarge, "your attachments take too much space together; wait until some expire")
}

fn too_large() -> Failure {
    Failure::new(ErrorCode::TooLarge, format!("body: an attachment has at most {MAX_BLOB} bytes"))
}
