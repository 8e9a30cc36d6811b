//! The objects of the bench.

use serde_json::{Value, json};

/// How much there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// Networks.
    pub networks: usize,
    /// Namespaces over which they are spread evenly.
    pub namespaces: usize,
    /// Security groups of each network.
    pub groups: usize,
    /// Users of each network.
    pub users: usize,
}

impl Size {
    /// The namespaces' names.
    pub(super) fn names(&self) -> Vec<String> {
        (0..self.namespaces).map(|n| format!("bench-{n:02}")).collect()
    }

    /// All objects.
    pub(super) fn objects(&self) -> usize {
        self.networks * (1 + self.groups + self.users)
    }

    /// In words.
    pub(super) fn text(&self) -> String {
        let n = self.networks;
        let spread = match self.namespaces {
            1 => "1 namespace".to_owned(),
            count => format!("{count} namespaces"),
        };
        format!("{n} Networks, {} SecurityGroups, {} Users in {spread}", n * self.groups, n * self.users)
    }

    /// The names of one network's objects.
    pub(super) fn network(&self, number: usize) -> NetworkNames {
        let name = format!("net-{number:04}");
        NetworkNames {
            namespace: format!("bench-{:02}", number % self.namespaces),
            groups: (0..self.groups).map(|g| format!("{name}-g{g}")).collect(),
            users: (0..self.users).map(|u| format!("{name}-u{u}")).collect(),
            name,
        }
    }

    /// Every object as it is created, network by network.
    pub(super) fn all(&self) -> Vec<Object> {
        (0..self.networks).flat_map(|number| self.network(number).objects()).collect()
    }
}

/// One network's names.
pub(super) struct NetworkNames {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) groups: Vec<String>,
    pub(super) users: Vec<String>,
}

/// A custom resource.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) plural: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) body: Value,
}

impl Object {
    pub(super) fn new(kind: &str, plural: &'static str, namespace: &str, name: &str, spec: &Value) -> Self {
        let body = json!({
            "apiVersion": "sotto.dev/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": namespace}, "spec": spec,
        });
        Self { plural, namespace: namespace.to_owned(), name: name.to_owned(), body }
    }
}

impl NetworkNames {
    fn objects(&self) -> Vec<Object> {
        let network = json!({"name": self.name});
        let spec = json!({"domain": format!("{}.chat.example", self.name), "displayName": self.name});
        let mut objects = vec![Object::new("Network", "networks", &self.namespace, &self.name, &spec)];
        for name in &self.groups {
            let spec = json!({"networkRef": network});
            objects.push(Object::new("SecurityGroup", "securitygroups", &self.namespace, name, &spec));
        }
        for (number, name) in self.users.iter().enumerate() {
            let group = self.groups.get(number % self.groups.len().max(1));
            let mut spec = json!({
                "networkRef": network, "firstName": "Given", "lastName": "Family",
                "email": format!("{name}@mail.example"),
            });
            if let Some(group) = group {
                spec["securityGroupRef"] = json!({"name": group});
            }
            objects.push(Object::new("User", "users", &self.namespace, name, &spec));
        }
        objects
    }

    /// A retention policy of the network, to a volume.
    pub(super) fn policy(&self) -> Object {
        let spec = json!({
            "networkRef": {"name": self.name}, "destination": {"volume": {}},
        });
        let name = format!("{}-records", self.name);
        Object::new("RetentionPolicy", "retentionpolicies", &self.namespace, &name, &spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_objects_as_it_says() {
        let size = Size { networks: 7, namespaces: 3, groups: 5, users: 10 };
        let all = size.all();
        assert_eq!((all.len(), size.objects()), (7 * 16, 7 * 16));
        assert!(all.iter().all(|object| size.names().contains(&object.namespace)));
        let names: std::collections::BTreeSet<_> = all.iter().map(|o| (o.plural, &o.namespace, &o.name)).collect();
        assert_eq!(names.len(), all.len());
    }
}
