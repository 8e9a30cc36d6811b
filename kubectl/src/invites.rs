//! Invites, for who may read their Secrets: the only Secrets that this program ever asks for.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, ListParams};
use kube::{Api, ResourceExt as _};
use serde::Serialize;
use serde_json::Value;
use sotto_crds::User;
use sotto_operator::invites::URL;

use crate::access::{Cluster, within};
use crate::error::KubeError;
use crate::objects::text;

/// How many Secrets are asked for at a time, where they cannot be listed.
const AT_A_TIME: usize = 8;

/// An invite that has not been opened.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Invite {
    /// The User.
    pub user: String,
    /// The address that is invited.
    pub address: String,
    /// Until when it can be used.
    #[serde(rename = "expiresAt")]
    pub expires_at: String,
    /// What the user gets.
    pub invite: String,
}

/// The invite of one user, by name of the object or by address.
pub async fn invite(cluster: &Cluster, user: &str) -> Result<Invite, KubeError> {
    let object = cluster.user(user).await?;
    let Some(mut invite) = open(&object) else {
        let state = text(&object, "/status/state");
        let why = match state {
            "Active" => "has joined already; `kubectl sotto reset invite` makes a new one".to_owned(),
            "Suspended" => "is suspended".to_owned(),
            _ => format!("is not ready yet: {}", crate::objects::Seen::of(&object).message),
        };
        return Err(KubeError::Missing(format!("User {user} has no open invite: {why}")));
    };
    let name = text(&object, "/status/inviteSecretName");
    let secret = within(&format!("Secret {name}"), cluster.api::<Secret>().get(name)).await?;
    invite.invite = url(&secret).ok_or_else(|| {
        KubeError::Missing(format!("the Secret {name} has no `url`; delete it, and the operator makes it anew"))
    })?;
    Ok(invite)
}

/// All invites of the namespace that have not been opened, in the order of their users' names.
pub async fn pending(cluster: &Cluster) -> Result<Vec<Invite>, KubeError> {
    let mut open_ones: Vec<(String, Invite)> = Vec::new();
    let visit = |user: Value| {
        if let Some(invite) = open(&user) {
            open_ones.push((text(&user, "/status/inviteSecretName").to_owned(), invite));
        }
    };
    cluster.each(&ApiResource::erase::<User>(&()), Some(&cluster.namespace), None, visit).await?;
    open_ones.sort_by(|a, b| a.1.user.cmp(&b.1.user));
    let api: Api<Secret> = cluster.api();
    let mut urls = std::collections::HashMap::new();
    let mut params = ListParams::default()
        .labels("app.kubernetes.io/managed-by=sotto-operator,sotto.dev/component=invite")
        .limit(500);
    loop {
        match within("list Secrets of invites", api.list(&params)).await {
            Ok(page) => {
                urls.extend(page.items.iter().filter_map(|s| Some((s.name_any(), url(s)?))));
                params.continue_token = page.metadata.continue_.filter(|t| !t.is_empty());
                if params.continue_token.is_none() {
                    break;
                }
            }
            // Who may read some Secrets by name need not be allowed to list them.
            Err(KubeError::Refused { .. }) => {
                let names: Vec<String> = open_ones.iter().map(|(name, _)| name.clone()).collect();
                let get = |name: String| {
                    let api = api.clone();
                    async move {
                        let secret = within(&format!("Secret {name}"), api.get(&name)).await?;
                        Ok::<_, KubeError>(url(&secret).map(|url| (name, url)))
                    }
                };
                let mut found = futures::stream::iter(names).map(get).buffer_unordered(AT_A_TIME);
                while let Some(one) = found.next().await {
                    match one {
                        Ok(one) => urls.extend(one),
                        // Opened in the meantime.
                        Err(KubeError::Missing(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
                break;
            }
            Err(error) => return Err(error),
        }
    }
    let with_url = |(name, invite): (String, Invite)| Some(Invite { invite: urls.remove(&name)?, ..invite });
    Ok(open_ones.into_iter().filter_map(with_url).collect())
}

/// The invite that the status speaks of, without its URL.
fn open(user: &Value) -> Option<Invite> {
    let named = !text(user, "/status/inviteSecretName").is_empty();
    named.then(|| Invite {
        user: text(user, "/metadata/name").to_owned(),
        address: text(user, "/status/address").to_owned(),
        expires_at: text(user, "/status/inviteExpiresAt").to_owned(),
        invite: String::new(),
    })
}

fn url(secret: &Secret) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(URL)?;
    String::from_utf8(bytes.0.clone()).ok()
}
