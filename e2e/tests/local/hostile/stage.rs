//! A site of a few people whose relay is malicious, and what they see.

use serde_json::Value;
use sotto_e2e::hostile::{Colleague, Hostile};
use sotto_e2e::{Failure, Finished, Outcome, ensure};

use crate::site::Site;

/// A person's time for one command, where the attacker would have it take for ever.
pub(crate) const SOON: std::time::Duration = std::time::Duration::from_secs(45);

/// One network and one group, in which everybody is.
pub(crate) const ACME: &str = "
apiVersion: sotto.dev/v1alpha1
kind: Network
metadata: {name: acme}
spec: {displayName: Acme, domain: chat.acme.example}
---
apiVersion: sotto.dev/v1alpha1
kind: SecurityGroup
metadata: {name: acme-staff}
spec: {networkRef: {name: acme}, default: true, passwordRequirements: {minLength: 12}}
";

/// Acme keeps a record of everything.
pub(crate) const RETAINED: &str = "
apiVersion: sotto.dev/v1alpha1
kind: RetentionPolicy
metadata: {name: acme-records}
spec:
  networkRef: {name: acme}
  scope: {allUsers: true}
  destination: {volume: {path: records, storage: {size: 1Gi}}}
";

/// A user of a network.
pub(crate) fn user(name: &str, network: &str, more: &str) -> String {
    format!(
        "\n---\napiVersion: sotto.dev/v1alpha1\nkind: User\nmetadata: {{name: {name}}}\nspec: {{networkRef: {{name: {network}}}{more}}}\n"
    )
}

/// An address of Acme.
pub(crate) fn at(name: &str) -> String {
    format!("{name}@chat.acme.example")
}

/// A site and what stands before its relay.
pub(crate) struct Stage {
    pub(crate) relay: Hostile,
    pub(crate) site: Site,
}

impl Stage {
    /// Acme with these people, who have joined, and with more manifests.
    pub(crate) fn new(people: &[&str], more: &str) -> Outcome<Self> {
        let users: String = people.iter().map(|name| user(name, "acme", "")).collect();
        let stage = Self::with(&format!("{ACME}---{more}{users}"))?;
        people.iter().try_for_each(|name| stage.join(name))?;
        Ok(stage)
    }

    /// Acme with these people by way of the malicious relay, and its peer Beta with those; nobody keeps a record.
    pub(crate) fn with_beta(acme: &[&str], beta: &[&str]) -> Outcome<Self> {
        let network = |name: &str, peer: &str| {
            format!(
                "---
apiVersion: sotto.dev/v1alpha1
kind: Network
metadata: {{name: {name}}}
spec:
  domain: chat.{name}.example
  federation: {{mode: Restricted, peers: [{{domain: chat.{peer}.example}}]}}
---
apiVersion: sotto.dev/v1alpha1
kind: SecurityGroup
metadata: {{name: {name}-staff}}
spec: {{networkRef: {{name: {name}}}, default: true, federation: {{mode: All}}}}
"
            )
        };
        let users =
            acme.iter().map(|name| user(name, "acme", "")).chain(beta.iter().map(|name| user(name, "beta", "")));
        let manifests = [network("acme", "beta"), network("beta", "acme"), users.collect()].concat();
        let stage = Self::with(&manifests)?;
        acme.iter().try_for_each(|name| stage.join(name))?;
        beta.iter().try_for_each(|name| stage.site.join(name))?;
        Ok(stage)
    }

    /// With these manifests, of which one is the network `acme`; nobody has joined.
    pub(crate) fn with(manifests: &str) -> Outcome<Self> {
        let site = Site::with(manifests)?;
        site.up()?.output()?;
        let acme = site.object("Network", "acme")?;
        let url = acme["status"]["url"].as_str().ok_or_else(|| Failure(format!("no url: {acme}")))?;
        Ok(Self { relay: Hostile::before(url)?, site })
    }

    /// From now on the administrator of this network helps the malicious relay.
    pub(crate) fn collude(&self, network: &str) -> Outcome {
        let secret = self.site.state().join(format!("networks/default.{network}/secrets/policy-key"));
        self.relay.collude(&format!("chat.{network}.example"), &secret)
    }

    /// Joins by way of the malicious relay.
    pub(crate) fn join(&self, name: &str) -> Outcome {
        let invite = self.relay.invite(&self.site.invite(name)?)?;
        self.site.join_by(name, invite)
    }

    /// `sotto VERB … --profile WHO`, whatever comes of it.
    pub(crate) fn run(&self, who: &str, verb: &[&str]) -> Outcome<Finished> {
        let (first, rest) = verb.split_first().ok_or_else(|| Failure("no verb".into()))?;
        self.site.sotto(first)?.args(rest).args(["--profile", who]).limit(2 * SOON).finish()
    }

    /// The same, which must succeed.
    pub(crate) fn good(&self, who: &str, verb: &[&str]) -> Outcome<Finished> {
        let finished = self.run(who, verb)?;
        ensure(finished.status.success(), || format!("{who}: {verb:?}: {}\n{}", finished.status, finished.shown()))?;
        Ok(finished)
    }

    /// The same, which must be refused.
    pub(crate) fn bad(&self, who: &str, verb: &[&str]) -> Outcome<Finished> {
        let finished = self.run(who, verb)?;
        ensure(!finished.status.success(), || format!("{who}: {verb:?}: was not refused\n{}", finished.shown()))?;
        Ok(finished)
    }

    /// The JSON lines of a command that must succeed.
    pub(crate) fn lines(&self, who: &str, verb: &[&str]) -> Outcome<Vec<Value>> {
        lines(&self.good(who, &[verb, &["-o", "json"]].concat())?)
    }

    /// They have written to each other, so that each has pinned the other.
    pub(crate) fn met(&self, one: &str, other: &str) -> Outcome {
        self.good(one, &["send", &at(other), &format!("hello {other}")])?;
        self.good(other, &["receive"])?;
        self.good(other, &["send", &at(one), &format!("hello {one}")])?;
        self.good(one, &["receive"])?;
        // Receipts, too.
        self.good(other, &["receive"]).map(drop)
    }

    /// Takes over the account of somebody.
    pub(crate) fn colleague(&self, who: &str) -> Outcome<Colleague> {
        Colleague::of(&self.site.profile(who))
    }

    /// What `sotto verify` says of one contact.
    pub(crate) fn contact(&self, who: &str, of: &str) -> Outcome<Value> {
        let all = self.lines(who, &["verify"])?;
        let found = all.iter().find(|contact| contact["address"] == at(of)).cloned();
        found.ok_or_else(|| Failure(format!("{who} does not know {of}: {all:?}")))
    }
}

/// Standard output as JSON, a line each.
pub(crate) fn lines(finished: &Finished) -> Outcome<Vec<Value>> {
    Ok(finished.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// Whether the words of a change are in what a person is told.
pub(crate) fn tells_of_a_change(finished: &Finished, of: &str) -> bool {
    let words = format!("identity of {} has changed", at(of));
    finished.stderr.lines().any(|line| line.to_lowercase().contains(&words))
}
