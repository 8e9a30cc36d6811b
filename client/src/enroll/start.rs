//! Where an account begins, as it is used.

use super::join::{JoinOptions, ServiceAccount, join, service};
use super::replace::join_in_place;
use crate::client::Client;
use crate::core::error::Error;

impl Client {
    /// Registers by an invite and makes the profile. An interrupted join is run again with the same options.
    pub async fn join(options: JoinOptions) -> Result<Self, Error> {
        if options.replace {
            return join_in_place(options).await;
        }
        join(options).await
    }

    /// Opens the profile of a service account, and registers it before where it has to be. Whoever runs it gets all that
    /// comes, and keeps it elsewhere.
    pub async fn service(account: ServiceAccount) -> Result<Self, Error> {
        service(account).await
    }
}
