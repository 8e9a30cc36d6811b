//! A network as a tree: its parts, groups, users and retention policies, with the causes of what is not ready. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::objects::{Seen, State};
use crate::workloads::{Claim, Event, Pod, Workload};

/// How many names a line of a summary shows.
const NAMES: usize = 5;
/// How many events are shown of an object.
const EVENTS: usize = 3;

/// All that a tree is made of.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// Objects of our four kinds.
    pub objects: Vec<Seen>,
    /// What runs for them, and the operator.
    pub workloads: Vec<Workload>,
    /// Their pods.
    pub pods: Vec<Pod>,
    /// Claims that are not bound.
    pub claims: Vec<Claim>,
    /// Warnings, of any object.
    pub events: Vec<Event>,
    /// What could not be read, and why.
    pub unread: Vec<String>,
}

/// How a tree is made.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Only the network of this name.
    pub network: Option<String>,
    /// Each user as a line, not only those that are not ready.
    pub all: bool,
}

/// One line of a tree with what is below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// `Network`, `User`, `StatefulSet`, `Pod`, and so on; `Users` and so on for a summary.
    pub kind: String,
    /// The object's name; of a summary empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The object's namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// How it is doing; of a summary the worst.
    pub state: State,
    /// Why, in a word.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Why, and what to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What else there is to say.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, String>,
    /// Of a summary: whom it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// What the cluster says of it: of pods, claims, events.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What is below it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Node>,
}

impl Node {
    fn new(kind: &str, name: &str, namespace: &str, state: State) -> Self {
        Self {
            kind: kind.to_owned(),
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            state,
            reason: String::new(),
            message: String::new(),
            facts: BTreeMap::new(),
            names: Vec::new(),
            causes: Vec::new(),
            children: Vec::new(),
        }
    }

    fn of(seen: &Seen, scene: &Scene) -> Self {
        let mut node = Self::new(&seen.kind, &seen.name, &seen.namespace, seen.state);
        node.reason.clone_from(&seen.reason);
        node.message.clone_from(&seen.message);
        node.facts.clone_from(&seen.facts);
        if seen.state != State::Ready {
            node.causes = events(scene, &seen.namespace, &seen.kind, &seen.name);
        }
        node.causes.extend(seen.facts.get("record").cloned());
        node
    }
}

/// The trees: the operator where it is known, each network, and what belongs to none.
pub fn forest(scene: &Scene, wish: &Wish) -> Vec<Node> {
    let wanted = |name: &str| wish.network.as_deref().is_none_or(|n| n == name);
    let mut networks: Vec<&Seen> = scene.objects.iter().filter(|o| o.kind == "Network" && wanted(&o.name)).collect();
    networks.sort_by_key(|n| (&n.namespace, &n.name));
    let mut trees: Vec<Node> =
        scene.workloads.iter().filter(|w| w.component == "operator").map(|w| workload(w, scene)).collect();
    trees.extend(networks.iter().map(|n| network(n, scene, wish)));
    let known = |o: &Seen| {
        scene.objects.iter().any(|n| n.kind == "Network" && n.namespace == o.namespace && n.name == o.network)
    };
    let mut lost: BTreeMap<(&str, &str), Vec<&Seen>> = BTreeMap::new();
    for object in scene.objects.iter().filter(|o| wanted(&o.network)) {
        if object.kind != "Network" {
            lost.entry((&object.namespace, &object.network)).or_default().push(object);
        }
    }
    for ((namespace, name), mut objects) in lost {
        if known(objects[0]) {
            continue;
        }
        let mut node = Node::new("Network", name, namespace, State::Degraded);
        "there is no such Network in the namespace; apply it, or correct networkRef".clone_into(&mut node.message);
        objects.sort_by_key(|o| (&o.kind, &o.name));
        for kind in ["SecurityGroup", "User", "RetentionPolicy"] {
            let of_kind: Vec<&Seen> = objects.iter().copied().filter(|o| o.kind == kind).collect();
            node.children.extend(summary(kind, &of_kind, scene, wish.all));
        }
        trees.push(node);
    }
    trees
}

fn network(network: &Seen, scene: &Scene, wish: &Wish) -> Node {
    let mut node = Node::of(network, scene);
    let mine = |kind: &str| {
        let here = |o: &&Seen| o.kind == kind && o.namespace == network.namespace && o.network == network.name;
        let mut found: Vec<&Seen> = scene.objects.iter().filter(here).collect();
        found.sort_by_key(|o| &o.name);
        found
    };
    let parts = |policy: &str| {
        let here = |w: &&Workload| w.namespace == network.namespace && w.network == network.name && w.policy == policy;
        let mut found: Vec<&Workload> = scene.workloads.iter().filter(here).collect();
        found.sort_by_key(|w| (w.component != "relay", &w.name));
        found
    };
    node.children.extend(parts("").into_iter().map(|w| workload(w, scene)));
    node.children.extend(summary("SecurityGroup", &mine("SecurityGroup"), scene, wish.all));
    node.children.extend(summary("User", &mine("User"), scene, wish.all));
    for policy in mine("RetentionPolicy") {
        let mut child = Node::of(policy, scene);
        child.children.extend(parts(&policy.name).into_iter().map(|w| workload(w, scene)));
        node.children.push(child);
    }
    node
}

fn workload(workload: &Workload, scene: &Scene) -> Node {
    let mut node = Node::new(&workload.kind, &workload.name, &workload.namespace, workload.state());
    node.facts.insert("ready".into(), format!("{} of {}", workload.ready, workload.wanted));
    let place = [workload.network.clone(), workload.component.clone(), workload.policy.clone()];
    // The operator's pods carry no labels of networks.
    let same = |theirs: &[String; 3]| theirs == &place && !place[0].is_empty();
    let own = |p: &&Pod| {
        let operator = workload.network.is_empty() && p.place[0].is_empty();
        let named = operator && p.name.starts_with(&format!("{}-", workload.name));
        p.namespace == workload.namespace && (same(&p.place) || named)
    };
    let mut pods: Vec<&Pod> = scene.pods.iter().filter(own).collect();
    pods.sort_by_key(|p| &p.name);
    for claim in scene.claims.iter().filter(|c| c.namespace == workload.namespace && same(&c.place)) {
        node.causes.push(format!("PersistentVolumeClaim {} is {}", claim.name, claim.phase));
        node.causes.extend(events(scene, &claim.namespace, "PersistentVolumeClaim", &claim.name));
    }
    if workload.state() != State::Ready {
        node.causes.extend(events(scene, &workload.namespace, &workload.kind, &workload.name));
    }
    for pod in pods {
        let state = if pod.ready { State::Ready } else { State::Progressing };
        let broken = !pod.ready && !pod.causes.is_empty();
        let mut child = Node::new("Pod", &pod.name, &pod.namespace, if broken { State::Degraded } else { state });
        child.facts.insert("phase".into(), pod.phase.clone());
        if pod.restarts > 0 {
            child.facts.insert("restarts".into(), pod.restarts.to_string());
        }
        if !pod.ready {
            child.causes.clone_from(&pod.causes);
            child.causes.extend(events(scene, &pod.namespace, "Pod", &pod.name));
        }
        node.children.push(child);
    }
    if node.state != State::Ready && node.children.iter().any(|c| c.state == State::Degraded) {
        node.state = State::Degraded;
    }
    node
}

/// Objects of one kind: how many are how, and those that are not ready, by reason.
fn summary(kind: &str, objects: &[&Seen], scene: &Scene, all: bool) -> Option<Node> {
    if objects.is_empty() {
        return None;
    }
    let worst = objects.iter().map(|o| o.state).min().unwrap_or(State::Ready);
    let mut node = Node::new(&plural(kind), "", "", worst);
    node.facts.insert("total".into(), objects.len().to_string());
    let mut count = |name: &str, n: usize| {
        if n > 0 {
            node.facts.insert(name.to_owned(), n.to_string());
        }
    };
    for state in [State::Ready, State::Progressing, State::Degraded, State::Unseen, State::Paused, State::Deleting] {
        count(state.as_str(), objects.iter().filter(|o| o.state == state).count());
    }
    for state in ["Pending", "Active", "Suspended"] {
        let has = |o: &&&Seen| kind == "User" && o.facts.get("state").is_some_and(|s| s == state);
        count(state, objects.iter().filter(has).count());
    }
    if all {
        node.children.extend(objects.iter().map(|o| Node::of(o, scene)));
        return Some(node);
    }
    let mut groups: BTreeMap<(State, &str), Vec<&Seen>> = BTreeMap::new();
    for object in objects.iter().filter(|o| o.state != State::Ready) {
        groups.entry((object.state, &object.reason)).or_default().push(object);
    }
    for ((state, reason), members) in groups {
        if let [only] = members.as_slice() {
            node.children.push(Node::of(only, scene));
            continue;
        }
        let mut child = Node::new(&plural(kind), "", "", state);
        reason.clone_into(&mut child.reason);
        child.names = members.iter().map(|m| m.name.clone()).collect();
        let same = members.iter().all(|m| m.message == members[0].message);
        let first = &members[0];
        child.message = if same { first.message.clone() } else { format!("such as {}: {}", first.name, first.message) };
        node.children.push(child);
    }
    Some(node)
}

fn plural(kind: &str) -> String {
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    }
}

fn events(scene: &Scene, namespace: &str, kind: &str, name: &str) -> Vec<String> {
    let about = |e: &&Event| e.namespace == namespace && e.kind == kind && e.name == name;
    let mut found: Vec<&Event> = scene.events.iter().filter(about).collect();
    found.sort_by(|a, b| b.at.cmp(&a.at));
    found.dedup_by(|a, b| a.reason == b.reason && a.note == b.note);
    let line = |e: &&Event| {
        let times = if e.count > 1 { format!(" ({} times)", e.count) } else { String::new() };
        format!("{} {}: {}{times}", e.at, e.reason, e.note)
    };
    found.iter().take(EVENTS).map(line).collect()
}

/// The trees as lines for people.
pub fn lines(trees: &[Node]) -> Vec<String> {
    let mut lines = Vec::new();
    for tree in trees {
        let namespace = if tree.namespace.is_empty() { String::new() } else { format!("  in {}", tree.namespace) };
        lines.push(format!("{}{namespace}", line(tree)));
        below(tree, "", &mut lines);
    }
    lines
}

fn below(node: &Node, indent: &str, lines: &mut Vec<String>) {
    let bar = if node.children.is_empty() { "  " } else { "│ " };
    let mut remarks = Vec::new();
    if node.state != State::Ready && !node.message.is_empty() {
        remarks.push(node.message.clone());
    }
    if !node.names.is_empty() {
        let more = node.names.len().saturating_sub(NAMES);
        let shown = node.names.iter().take(NAMES).cloned().collect::<Vec<_>>().join(", ");
        remarks.push(if more > 0 { format!("{shown} and {more} more") } else { shown });
    }
    remarks.extend(node.causes.iter().cloned());
    for remark in remarks.iter().flat_map(|r| r.lines()) {
        lines.push(format!("{indent}{bar}  {remark}"));
    }
    for (index, child) in node.children.iter().enumerate() {
        let last = index + 1 == node.children.len();
        lines.push(format!("{indent}{} {}", if last { "└─" } else { "├─" }, line(child)));
        below(child, &format!("{indent}{}", if last { "   " } else { "│  " }), lines);
    }
}

fn line(node: &Node) -> String {
    let title = if node.name.is_empty() { node.kind.clone() } else { format!("{}/{}", node.kind, node.name) };
    let mut words = vec![title];
    if node.name.is_empty() && node.names.is_empty() {
        // A summary: the counts say it.
        let total = node.facts.get("total").cloned().unwrap_or_default();
        let counts =
            ["Ready", "Progressing", "Degraded", "Unseen", "Paused", "Deleting", "Active", "Pending", "Suspended"];
        let counts = counts.iter().filter_map(|name| Some(format!("{} {name}", node.facts.get(*name)?)));
        words.push(format!("{total}: {}", counts.collect::<Vec<_>>().join(", ")));
        return words.join("  ");
    }
    words.push(match (&node.reason, node.state) {
        (reason, _) if !node.names.is_empty() => format!("{} × {} {reason}", node.names.len(), node.state.as_str()),
        (_, State::Ready) => State::Ready.as_str().to_owned(),
        (reason, state) if reason.is_empty() => state.as_str().to_owned(),
        (reason, state) => format!("{}: {reason}", state.as_str()),
    });
    for name in ["ready", "phase", "restarts", "domain", "url", "address", "state", "devices", "destination", "waiting"]
    {
        if let Some(value) = node.facts.get(name) {
            let named = ["ready", "restarts", "devices", "waiting"].contains(&name);
            words.push(if named { format!("{name} {value}") } else { value.clone() });
        }
    }
    words.join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests;
