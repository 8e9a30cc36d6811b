//! What is asked of the operator by a word or an annotation: resets, pauses, new certificates; and waiting until it is done.

use std::time::Duration;

use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use sotto_crds::{Network, User};
use tokio::time::timeout;

use crate::access::{Cluster, within};
use crate::error::KubeError;
use crate::objects::{PAUSED, ROTATE, Seen, State, condition, kinds, text};

/// The field manager of what this plugin changes.
pub const MANAGER: &str = "kubectl-sotto";

/// What of a user is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// All devices are removed.
    Devices,
    /// A new invite is made.
    Invite,
    /// A lockout ends.
    Lockout,
}

impl Reset {
    /// The field of `spec.reset` and `status.reset`.
    pub fn field(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Invite => "invite",
            Self::Lockout => "lockout",
        }
    }
}

/// A word that was not used before: the time.
pub fn word() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// An object of ours: `network/acme`, `user/alice`, `KIND/NAME` by any name of the kind; a bare name is a Network's.
pub fn target(text: &str) -> Result<(ApiResource, String), KubeError> {
    let (kind, name) = text.split_once('/').unwrap_or(("network", text));
    let short = [("snet", "Network"), ("ssg", "SecurityGroup"), ("suser", "User"), ("sret", "RetentionPolicy")];
    let kind = kind.to_lowercase();
    let kind = kind.strip_suffix(".sotto.dev").unwrap_or(&kind);
    let found = kinds().into_iter().find(|k| {
        let alias = short.iter().any(|(alias, of)| *alias == kind && *of == k.kind);
        k.kind.to_lowercase() == kind || k.plural == kind || alias
    });
    match found {
        Some(found) if !name.is_empty() => Ok((found, name.to_owned())),
        _ => Err(KubeError::Usage(format!(
            "`{text}` names no object of ours; write network/NAME, securitygroup/NAME, user/NAME or retentionpolicy/NAME"
        ))),
    }
}

impl Cluster {
    /// A User by the name of its object or by its address.
    pub async fn user(&self, name: &str) -> Result<Value, KubeError> {
        let kind = ApiResource::erase::<User>(&());
        if !name.contains('@') {
            let object = within(&format!("User {name}"), self.values(&kind, Some(&self.namespace)).get(name)).await?;
            return Ok(serde_json::to_value(object).unwrap_or_default());
        }
        let mut found = Vec::new();
        let visit = |user: Value| {
            if text(&user, "/status/address") == name {
                found.push(user);
            }
        };
        self.each(&kind, Some(&self.namespace), None, visit).await?;
        found.pop().ok_or_else(|| {
            KubeError::Missing(format!("there is no User with the address {name} in namespace {}", self.namespace))
        })
    }

    async fn merge(&self, kind: &ApiResource, name: &str, patch: &Value) -> Result<Value, KubeError> {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let api = self.values(kind, Some(&self.namespace));
        let merge = Patch::Merge(patch);
        let changed = within(&format!("{} {name}", kind.kind), api.patch(name, &params, &merge)).await?;
        Ok(serde_json::to_value(changed).unwrap_or_default())
    }

    /// Asks for a reset of a user, by the name of its object.
    pub async fn reset(&self, reset: Reset, user: &str, word: &str) -> Result<(), KubeError> {
        let patch = json!({"spec": {"reset": {(reset.field()): word}}});
        self.merge(&ApiResource::erase::<User>(&()), user, &patch).await.map(drop)
    }

    /// Waits until a reset is done.
    pub async fn reset_done(&self, reset: Reset, user: &str, word: &str, limit: Duration) -> Result<(), KubeError> {
        let pointer = format!("/status/reset/{}", reset.field());
        let (kind, word) = (ApiResource::erase::<User>(&()), word.to_owned());
        self.until(&kind, user, limit, move |object| text(object, &pointer) == word).await
    }

    /// Stops changes to an object, or lets them go on; says whether that is a change.
    pub async fn pause(&self, kind: &ApiResource, name: &str, paused: bool) -> Result<bool, KubeError> {
        let api = self.values(kind, Some(&self.namespace));
        let what = format!("{} {name}", kind.kind);
        let before = within(&what, api.get_metadata(name)).await?;
        let was = before.metadata.annotations.unwrap_or_default().get(PAUSED).is_some_and(|v| v == "true");
        if was == paused {
            return Ok(false);
        }
        let value = if paused { json!("true") } else { Value::Null };
        self.merge(kind, name, &json!({"metadata": {"annotations": {(PAUSED): value}}})).await?;
        Ok(true)
    }

    /// Waits until the operator says that an object is paused, or is not.
    pub async fn pause_seen(
        &self,
        kind: &ApiResource,
        name: &str,
        paused: bool,
        limit: Duration,
    ) -> Result<(), KubeError> {
        let is = move |object: &Value| condition(object, "Paused").is_some_and(|c| c["status"] == "True") == paused;
        self.until(kind, name, limit, is).await
    }

    /// Asks for new certificates of a network.
    pub async fn rotate(&self, network: &str, word: &str) -> Result<(), KubeError> {
        let patch = json!({"metadata": {"annotations": {(ROTATE): word}}});
        self.merge(&ApiResource::erase::<Network>(&()), network, &patch).await.map(drop)
    }

    /// Waits until the certificates are new and the network serves with them.
    pub async fn rotated(&self, network: &str, word: &str, limit: Duration) -> Result<(), KubeError> {
        let word = word.to_owned();
        let done =
            move |object: &Value| text(object, "/status/rotated") == word && Seen::of(object).state == State::Ready;
        self.until(&ApiResource::erase::<Network>(&()), network, limit, done).await
    }

    async fn until(
        &self,
        kind: &ApiResource,
        name: &str,
        limit: Duration,
        done: impl Fn(&Value) -> bool + Send + 'static,
    ) -> Result<(), KubeError> {
        let api = self.values(kind, Some(&self.namespace));
        let what = format!("{} {name}", kind.kind);
        let condition = move |object: Option<&DynamicObject>| {
            object.is_some_and(|o| done(&serde_json::to_value(o).unwrap_or_default()))
        };
        match timeout(limit, await_condition(api.clone(), name, condition)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(KubeError::Unreachable { what, why: error.to_string() }),
            Err(_) => {
                let object = within(&what, api.get(name)).await?;
                let mut object = serde_json::to_value(object).unwrap_or_default();
                object["kind"] = json!(kind.kind);
                let seen = Seen::of(&object);
                let words = [seen.state.as_str(), &seen.reason, &seen.message];
                let words: Vec<&str> = words.into_iter().filter(|w| !w.is_empty()).collect();
                let seconds = limit.as_secs();
                Err(KubeError::NotYet(format!(
                    "{what}: it was asked for, and is not done after {seconds} s; {}. It goes on by itself: see `kubectl sotto status`",
                    words.join(": ")
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_as_kubectl_names_them() {
        let is = |text: &str| target(text).map(|(kind, name)| (kind.kind, name)).unwrap();
        let pair = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
        assert_eq!(is("acme"), pair("Network", "acme"));
        assert_eq!(is("networks.sotto.dev/acme"), pair("Network", "acme"));
        assert_eq!(is("User/alice"), pair("User", "alice"));
        assert_eq!(is("sret/records"), pair("RetentionPolicy", "records"));
        assert_eq!(is("retentionpolicies/records"), pair("RetentionPolicy", "records"));
        for bad in ["pod/x", "user/", "", "/x"] {
            assert!(target(bad).unwrap_err().to_string().contains("network/NAME"), "{bad}");
        }
    }

    #[test]
    fn words_are_new_and_fit_the_field() {
        let word = word();
        let object = json!({
            "apiVersion": "sotto.dev/v1alpha1", "kind": "User", "metadata": {"name": "alice"},
            "spec": {"networkRef": {"name": "acme"}, "reset": {"devices": word}},
        });
        assert!(sotto_crds::admission::admit::<User>(&object, None).is_ok(), "{word}");
    }
}
