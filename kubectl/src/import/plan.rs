//! What has to be done in a cluster so that it has the people of a table. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::check::{Checked, Person};
use super::{DIGEST, PRUNER, Refusal, SET};
use crate::error::KubeError;
use crate::objects::text;

/// What becomes of people who are not in the table any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prune {
    /// They are out at once, and nothing is lost.
    Suspend,
    /// Their devices and what waits for them go too.
    Delete,
}

/// How many people may be pruned in one run; where nothing is said, ten, or a tenth of the set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneLimit(pub Option<usize>);

/// Whether so many may be pruned: a table that was cut off must not shut everybody out.
pub(super) fn too_many(gone: usize, set: usize, limit: PruneLimit) -> Result<(), KubeError> {
    let most = limit.0.unwrap_or_else(|| (set / 10).max(10));
    if gone <= most {
        return Ok(());
    }
    Err(KubeError::Usage(format!(
        "{gone} of {set} people are not in the table any more, which is more than {most}; nothing was written. If the table is whole, \
         say --prune-limit {gone}"
    )))
}

/// A User that the cluster has.
#[derive(Clone, Debug, PartialEq)]
pub struct Existing {
    network: String,
    username: String,
    set: String,
    digest: String,
    spec: Value,
    labels: Value,
    uid: String,
    deleting: bool,
    /// This command has suspended it.
    pruned: bool,
}

impl Existing {
    /// Name and what matters of an object as the cluster gives it.
    pub fn of(object: &Value) -> (String, Self) {
        let name = text(object, "/metadata/name").to_owned();
        let username = Some(text(object, "/spec/username")).filter(|u| !u.is_empty()).unwrap_or(&name).to_owned();
        let label = |map: &str, key: &str| object["metadata"][map][key].as_str().unwrap_or_default().to_owned();
        let managers = object.pointer("/metadata/managedFields").and_then(Value::as_array);
        let existing = Self {
            network: text(object, "/spec/networkRef/name").to_owned(),
            username,
            set: label("labels", SET),
            digest: label("annotations", DIGEST),
            spec: object["spec"].clone(),
            labels: object["metadata"]["labels"].clone(),
            uid: text(object, "/metadata/uid").to_owned(),
            deleting: !text(object, "/metadata/deletionTimestamp").is_empty(),
            pruned: managers.into_iter().flatten().any(|m| m["manager"] == PRUNER),
        };
        (name, existing)
    }
}

/// What the cluster has around the people of a table.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Networks of the namespace.
    pub networks: BTreeSet<String>,
    /// Security groups with their network.
    pub groups: BTreeMap<String, String>,
    /// Addresses (network, username) of retention processes, with the policy's name.
    pub retention: BTreeMap<(String, String), String>,
    /// Users.
    pub users: BTreeMap<String, Existing>,
}

/// One call, or two.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Creates or changes a User.
    Apply {
        /// Who.
        person: Box<Person>,
        /// It is new.
        create: bool,
        /// This command had suspended it: that ends first.
        release: bool,
    },
    /// Suspends a User who is not in the table any more.
    Suspend(String),
    /// Deletes one: name and uid.
    Delete(String, String),
}

/// All that has to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What has to be done.
    pub steps: Vec<Step>,
    /// How many are as they should be.
    pub unchanged: usize,
    /// Lines that cannot be taken over.
    pub refused: Vec<Refusal>,
    /// Who is not in the table any more and is left alone.
    pub missing: Vec<String>,
}

/// Compares a table with a cluster.
pub fn plan(
    checked: Checked,
    around: &Surroundings,
    set: &str,
    prune: Option<Prune>,
    limit: PruneLimit,
) -> Result<Plan, KubeError> {
    let mut plan = Plan { refused: checked.refused, ..Plan::default() };
    let mut by_address: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for (name, user) in &around.users {
        by_address.entry((&user.network, &user.username)).or_insert(name);
    }
    let mut networks: BTreeSet<String> = BTreeSet::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    for person in checked.people {
        networks.insert(person.network.clone());
        names.insert(person.name.clone());
        if let Some(refusal) = refuse(&person, around, &by_address) {
            plan.refused.push(refusal);
            continue;
        }
        match around.users.get(&person.name) {
            None => plan.steps.push(Step::Apply { person: Box::new(person), create: true, release: false }),
            Some(there) if !there.pruned && is_so(&person, there) => plan.unchanged += 1,
            Some(there) => {
                plan.steps.push(Step::Apply { person: Box::new(person), create: false, release: there.pruned });
            }
        }
    }
    plan.refused.sort();
    let of_set = |u: &Existing| u.set == set && networks.contains(&u.network) && !u.deleting;
    let size = around.users.values().filter(|u| of_set(u)).count();
    let gone = around.users.iter().filter(|(name, user)| of_set(user) && !names.contains(*name));
    // Who was suspended by this command before needs nothing more, but for deleting.
    let gone: Vec<_> = gone.filter(|(_, user)| prune == Some(Prune::Delete) || !user.pruned).collect();
    match prune {
        None => plan.missing = gone.iter().map(|(name, _)| (*name).clone()).collect(),
        Some(_) if !plan.refused.is_empty() => {
            return Err(KubeError::Usage(format!(
                "--prune with {} refused lines: who stands in them would be taken for missing; mend them first. {}",
                plan.refused.len(),
                plan.refused[0]
            )));
        }
        Some(prune) => {
            too_many(gone.len(), size, limit)?;
            plan.steps.extend(gone.iter().map(|(name, user)| match prune {
                Prune::Suspend => Step::Suspend((*name).clone()),
                Prune::Delete => Step::Delete((*name).clone(), user.uid.clone()),
            }));
        }
    }
    Ok(plan)
}

/// Why a line cannot be taken over, by what the cluster has.
fn refuse(person: &Person, around: &Surroundings, by_address: &BTreeMap<(&str, &str), &str>) -> Option<Refusal> {
    let refusal = |field: &str, message: String, remedy: &str| Some(Refusal::new(person.line, field, message, remedy));
    if !around.networks.contains(&person.network) {
        let message = format!("there is no Network {} in the namespace", person.network);
        return refusal("network", message, "apply the Network first, or correct the name or the namespace (-n)");
    }
    if let Some(group) = &person.group {
        match around.groups.get(group) {
            None => {
                let message = format!("there is no SecurityGroup {group} in the namespace");
                return refusal("securityGroup", message, "apply the SecurityGroup first, or correct the name");
            }
            Some(network) if *network != person.network => {
                let message = format!("SecurityGroup {group} belongs to Network {network}");
                return refusal("securityGroup", message, "name a group of the same network");
            }
            Some(_) => {}
        }
    }
    let address = (person.network.as_str(), person.username.as_str());
    if let Some(other) = by_address.get(&address).filter(|other| **other != person.name) {
        let message = format!("{} is the username of User {other} already", person.username);
        return refusal("username", message, "put that name into a column `name`, or choose another username");
    }
    if let Some(policy) = around.retention.get(&(person.network.clone(), person.username.clone())) {
        let message = format!("{} is the address of the retention process of {policy}", person.username);
        return refusal("username", message, "choose another username");
    }
    let there = around.users.get(&person.name)?;
    if there.deleting {
        let message = format!("User {} is being deleted", person.name);
        return refusal("name", message, "run it again when it is gone");
    }
    if there.network != person.network {
        let message = format!("User {} is there already, in Network {}", person.name, there.network);
        return refusal("name", message, "put another name into a column `name`");
    }
    if there.username != person.username {
        let message = format!("User {} is there already, with the username {}", person.name, there.username);
        return refusal("name", message, "a username cannot be changed: put another name into a column `name`");
    }
    None
}

/// Whether the cluster has it as it was applied: by the digest, and by the values, which somebody else may have changed.
fn is_so(person: &Person, there: &Existing) -> bool {
    let wanted = person.manifest.value();
    there.digest == person.manifest.digest()
        && holds(&there.spec, &wanted["spec"])
        && holds(&there.labels, &wanted["metadata"]["labels"])
}

/// Whether `have` has all that is in `wanted`.
fn holds(have: &Value, wanted: &Value) -> bool {
    match wanted {
        Value::Object(fields) => fields.iter().all(|(key, value)| holds(&have[key], value)),
        other => have == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Options, check, table};
    use super::*;

    fn checked(text: &str) -> Checked {
        let options = Options { network: Some("acme".into()), set: "users".into(), ..Options::default() };
        check(&table::read(text.as_bytes(), &[], None).unwrap(), &options)
    }

    /// The cluster after the table was applied.
    fn applied(text: &str) -> Surroundings {
        let mut around = Surroundings {
            networks: ["acme".to_owned(), "beta".to_owned()].into(),
            groups: [("staff".to_owned(), "acme".to_owned()), ("guests".to_owned(), "beta".to_owned())].into(),
            ..Surroundings::default()
        };
        for person in checked(text).people {
            let mut object = person.manifest.value();
            object["metadata"]["annotations"] = json!({ DIGEST: person.manifest.digest() });
            // As the API server fills it.
            object["spec"]["admin"] = json!(false);
            let (name, existing) = Existing::of(&object);
            around.users.insert(name, existing);
        }
        around
    }

    fn planned(text: &str, around: &Surroundings, prune: Option<Prune>) -> Plan {
        plan(checked(text), around, "users", prune, PruneLimit::default()).unwrap()
    }

    #[test]
    fn a_second_run_has_nothing_to_do() {
        let table = "username,firstName,securityGroup\nalice,Alice,staff\nb_b,Bob,\n";
        let none = Surroundings { users: BTreeMap::new(), ..applied(table) };
        let first = planned(table, &none, None);
        assert!(first.steps.len() == 2 && first.steps.iter().all(|s| matches!(s, Step::Apply { create: true, .. })));
        let second = planned(table, &applied(table), Some(Prune::Suspend));
        assert_eq!((second.steps.len(), second.unchanged, second.refused.len()), (0, 2, 0));
    }

    #[test]
    fn what_is_different_here_or_there_is_applied() {
        let before = applied("username,firstName\nalice,Alice\nbob,Bob\ncarol,Carol\n");
        let mut around = before.clone();
        // Somebody has changed it in the cluster.
        around.users.get_mut("bob").unwrap().spec["firstName"] = json!("Robert");
        let plan = planned("username,firstName\nalice,Alicia\nbob,Bob\ncarol,Carol\n", &around, None);
        let names: Vec<&str> = plan
            .steps
            .iter()
            .map(|s| match s {
                Step::Apply { person, create: false, release: false } => person.name.as_str(),
                _ => "",
            })
            .collect();
        assert_eq!((names, plan.unchanged), (vec!["alice", "bob"], 1));
        // A cell that is empty now was applied before: the digest tells.
        let plan = planned("username,firstName\nalice,\nbob,Bob\ncarol,Carol\n", &before, None);
        assert_eq!((plan.steps.len(), plan.unchanged), (1, 2));
    }

    #[test]
    fn what_the_cluster_has_refuses_lines() {
        let mut around = applied("username\nold\n");
        let taken =
            json!({"metadata": {"name": "bob-at-acme"}, "spec": {"networkRef": {"name": "acme"}, "username": "bob"}});
        let elsewhere = json!({"metadata": {"name": "carol"}, "spec": {"networkRef": {"name": "beta"}}});
        let renamed =
            json!({"metadata": {"name": "dave"}, "spec": {"networkRef": {"name": "acme"}, "username": "david"}});
        let ending =
            json!({"metadata": {"name": "erin", "deletionTimestamp": "x"}, "spec": {"networkRef": {"name": "acme"}}});
        around.users.extend([taken, elsewhere, renamed, ending].iter().map(Existing::of));
        around.retention.insert(("acme".into(), "retention.records".into()), "records".into());
        let plan = planned(
            "username,securityGroup,network\nbob,,\ncarol,,\ndave,,\nerin,,\nfred,nobody,\ngina,guests,\nhal,,gamma\n\
             retention.records,,\nold,,\n",
            &around,
            None,
        );
        let told: Vec<(u64, &str)> = plan.refused.iter().map(|r| (r.line, r.field.as_str())).collect();
        assert_eq!(
            told,
            [
                (2, "username"),
                (3, "name"),
                (4, "name"),
                (5, "name"),
                (6, "securityGroup"),
                (7, "securityGroup"),
                (8, "network"),
                (9, "username"),
            ]
        );
        assert!(plan.refused[0].message.contains("bob-at-acme"));
        assert_eq!((plan.unchanged, plan.steps.len()), (1, 0));
    }

    #[test]
    fn pruning_touches_only_people_of_the_same_set_and_network() {
        let mut around = applied("username\nalice\nbob\n");
        let by_hand = json!({"metadata": {"name": "carol"}, "spec": {"networkRef": {"name": "acme"}}});
        let of_beta =
            json!({"metadata": {"name": "dave", "labels": {SET: "users"}}, "spec": {"networkRef": {"name": "beta"}}});
        let other_set =
            json!({"metadata": {"name": "erin", "labels": {SET: "hr"}}, "spec": {"networkRef": {"name": "acme"}}});
        around.users.extend([by_hand, of_beta, other_set].iter().map(Existing::of));
        let table = "username\nalice\n";
        assert_eq!(planned(table, &around, None).missing, ["bob"]);
        assert_eq!(planned(table, &around, Some(Prune::Suspend)).steps, [Step::Suspend("bob".into())]);
        assert_eq!(planned(table, &around, Some(Prune::Delete)).steps, [Step::Delete("bob".into(), String::new())]);
        // Done before: nothing more, and let go when the table has them again.
        around.users.get_mut("bob").unwrap().pruned = true;
        assert_eq!(planned(table, &around, Some(Prune::Suspend)).steps, []);
        let back = planned("username\nalice\nbob\n", &around, Some(Prune::Suspend));
        assert!(matches!(back.steps.as_slice(), [Step::Apply { release: true, create: false, .. }]), "{back:?}");
    }

    #[test]
    fn pruning_stops_before_harm_is_done() {
        let many = (0..200).map(|n| format!("u{n}\n")).collect::<Vec<_>>().concat();
        let around = applied(&format!("username\n{many}"));
        let limit =
            |limit, table: &str| plan(checked(table), &around, "users", Some(Prune::Suspend), PruneLimit(limit));
        let said = limit(None, "username\nu1\n").unwrap_err().to_string();
        assert!(said.contains("199 of 200") && said.contains("--prune-limit 199"), "{said}");
        assert_eq!(limit(Some(199), "username\nu1\n").unwrap().steps.len(), 199);
        let said = limit(Some(199), "username,securityGroup\nu1,nobody\n").unwrap_err().to_string();
        assert!(said.contains("refused lines") && said.contains("line 2"), "{said}");
    }
}
