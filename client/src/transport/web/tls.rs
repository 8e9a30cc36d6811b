//! In a browser: the browser makes the connections, checks certificates by its own authorities, and tells nothing about
//! them. It has its own time limits, follows no redirect to elsewhere without the relay's consent, and names itself.

use bytes::Bytes;
use futures::{TryStream, TryStreamExt as _};

use crate::core::endpoint::Tls;
use crate::core::error::TransportError;

/// The way to a relay.
pub(super) fn http_client(tls: &Tls) -> Result<reqwest::Client, TransportError> {
    match tls {
        Tls::Off | Tls::Public => Ok(reqwest::Client::new()),
        // What a pin is to protect from must not pass because it cannot be looked at.
        Tls::PinnedAuthority(_) | Tls::Authority(_) => {
            Err(TransportError::Tls("a browser trusts its own authorities only, not the network's".to_owned()))
        }
    }
}

/// The body of a request, in memory: a browser sends no streams.
pub(crate) async fn body_of<S>(stream: S) -> std::io::Result<reqwest::Body>
where
    S: TryStream<Ok = Bytes, Error = std::io::Error>,
{
    let all = stream.try_fold(Vec::new(), |mut all, chunk| async move {
        all.extend_from_slice(&chunk);
        Ok(all)
    });
    Ok(all.await?.into())
}

/// Why a certificate is refused: not told.
pub(super) fn refusal(_: &(dyn std::error::Error + 'static)) -> Option<super::Refused> {
    None
}
