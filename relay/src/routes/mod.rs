//! One file a noun: what comes in is parsed, the work is done by a service or the store, what goes out is encoded.

pub(crate) mod admin;
pub(crate) mod blobs;
pub(crate) mod devices;
pub(crate) mod envelopes;
pub(crate) mod links;
pub(crate) mod login;
pub(crate) mod network;
pub(crate) mod password;
pub(crate) mod peer;
pub(crate) mod recipients;
pub(crate) mod register;
pub(crate) mod session;
pub(crate) mod socket;

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use http::StatusCode;
use http::request::Parts;

use crate::error::{Failure, Reply};
use crate::state::Shared;

/// An answer without content.
pub(crate) type Empty = Reply<StatusCode>;

pub(crate) const DONE: StatusCode = StatusCode::NO_CONTENT;

/// The parameters in a path.
pub(crate) struct Params(Vec<(String, String)>);

impl FromRequestParts<Shared> for Params {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Reply<Self> {
        let raw = RawPathParams::from_request_parts(parts, app)
            .await
            .map_err(|_| Failure::invalid("path: not percent-encoded UTF-8"))?;
        Ok(Self(raw.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

impl Params {
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }

    pub(crate) fn parse<T>(&self, name: &str) -> Reply<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.text(name).parse().map_err(|error| Failure::invalid(format!("path, {name}: {error}")))
    }
}
