//! Bodies in and out: CBOR on the client and peer interfaces, JSON on the admin interface. Read up to a bound,
//! decoded strictly.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use minicbor::{Decode, Encode};
use sotto_crypto::{decode_strict, encode};
use sotto_wire::limits::MAX_REQUEST;
use sotto_wire::{CBOR, ErrorCode};

use crate::error::{Failure, Reply};

/// A CBOR body.
pub(crate) struct Cbor<T>(pub(crate) T);

impl<T, S> FromRequest<S> for Cbor<T>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
    S: Send + Sync,
{
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Reply<Self> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if kind != Some(CBOR) {
            return Err(Failure::invalid(format!("content-type: must be {CBOR}")));
        }
        let bytes = read(request.into_body(), MAX_REQUEST).await?;
        decode_strict(&bytes).map(Self).map_err(|error| Failure::invalid(format!("body: {error}")))
    }
}

impl<T: Encode<()>> IntoResponse for Cbor<T> {
    fn into_response(self) -> Response {
        let mut response = (StatusCode::OK, encode(&self.0)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CBOR));
        response
    }
}

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Reply<Self> {
        let bytes = read(request.into_body(), MAX_REQUEST).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| Failure::invalid(format!("body: {error}")))
    }
}

impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => {
                let mut response = (StatusCode::OK, body).into_response();
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                response
            }
            Err(error) => Failure::internal("JSON answer", &error).into_response(),
        }
    }
}

/// Reads a body up to `limit` bytes.
pub(crate) async fn read(body: Body, limit: usize) -> Reply<bytes::Bytes> {
    use axum::body::HttpBody as _;
    let too_large =
        || Failure::new(ErrorCode::TooLarge, format!("body: larger than {limit} bytes; send less at a time"));
    if usize::try_from(body.size_hint().lower()).map_or(true, |lower| lower > limit) {
        return Err(too_large());
    }
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        let error = error.into_inner();
        if is_limit(&*error) { too_large() } else { Failure::invalid("body: it broke off") }
    })
}

fn is_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    // The bound of `to_bytes` shows as this type of http-body-util, which only its text names.
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.to_string() == "length limit exceeded")
}
