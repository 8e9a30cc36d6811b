//! The directory head: one signature of the operator over all documents of a network, with a time and an end.
//!
//! Without it each document stands alone: who has seen none before could be shown any that was ever signed, and a relay that passes on
//! nothing new could not be told from a network where nothing changes.

use minicbor::{Decode, Encode};
use sotto_crypto::{DecodeError, Document, Domain, Listed, MerkleTree, Node, NotListed, Policy, Signed};

use crate::admin::AdminState;
use crate::policy::{GroupDocument, MembershipDocument, NetworkDocument};

/// How long a head holds (milliseconds), unless the operator is told otherwise. It is renewed at half of it.
pub const HEAD_LIFE_MS: u64 = 24 * 3600 * 1000;

/// The root of the tree over all documents of a network, at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct DirectoryHead {
    /// Document version, 1.
    #[n(0)]
    pub version: u8,
    /// The network's address space.
    #[n(1)]
    pub domain: Domain,
    /// Grows with every head (milliseconds since the epoch at signing).
    #[n(2)]
    pub serial: u64,
    /// How many documents there are.
    #[n(3)]
    pub count: u32,
    /// The root.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub root: Node,
    /// When it was signed (milliseconds since the epoch).
    #[n(5)]
    pub created_at_ms: u64,
    /// When there must be a newer one (milliseconds since the epoch).
    #[n(6)]
    pub expires_at_ms: u64,
}

impl Document for DirectoryHead {
    const LABEL: &'static str = "sotto/2 directory head";
    type Signer = Policy;
}

impl DirectoryHead {
    /// The document, where it is one of this directory. The head has been verified.
    pub fn read<T: Document<Signer = Policy>>(&self, listed: &Listed<T>) -> Result<T, NotListed> {
        listed.verify(&self.root, self.count)
    }

    /// From when on a newer one is due (milliseconds since the epoch): after half of its life.
    pub fn renewal_ms(&self) -> u64 {
        self.created_at_ms + self.expires_at_ms.saturating_sub(self.created_at_ms) / 2
    }
}

/// All documents of a network with the tree over them. The leaves are the network's document, then the groups' in ascending order of
/// the bytes of their names, then the memberships in ascending order of the bytes of the local parts of their addresses.
#[derive(Clone, Debug)]
pub struct Directory {
    network: Vec<u8>,
    /// Payloads, by name.
    groups: Vec<(String, Vec<u8>)>,
    /// Payloads, by local part.
    memberships: Vec<(String, Vec<u8>)>,
    tree: MerkleTree,
}

impl Directory {
    /// Of signed documents as CBOR, in any order. Nothing is verified.
    pub fn new<'a>(
        network: &[u8],
        groups: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        memberships: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, DecodeError> {
        let network = payload::<NetworkDocument>(network)?;
        let groups = by_name::<GroupDocument>(groups)?;
        let memberships = by_name::<MembershipDocument>(memberships)?;
        let mut leaves = vec![Listed::<NetworkDocument>::leaf(&network)];
        leaves.extend(groups.iter().map(|(_, payload)| Listed::<GroupDocument>::leaf(payload)));
        leaves.extend(memberships.iter().map(|(_, payload)| Listed::<MembershipDocument>::leaf(payload)));
        Ok(Self { network, groups, memberships, tree: MerkleTree::new(leaves) })
    }

    /// Of what a relay holds; `None` before it has the network's document.
    pub fn of_state(state: &AdminState) -> Result<Option<Self>, DecodeError> {
        let Some(network) = &state.network else { return Ok(None) };
        let groups = state.groups.iter().map(|(name, put)| (name.as_str(), put.document.as_slice()));
        let memberships = state.users.iter().map(|(local, user)| (local.as_str(), user.wanted.membership.as_slice()));
        Self::new(&network.document, groups, memberships).map(Some)
    }

    /// A head over it.
    pub fn head(&self, domain: Domain, serial: u64, now_ms: u64, life_ms: u64) -> DirectoryHead {
        DirectoryHead {
            version: 1,
            domain,
            serial,
            count: self.tree.count(),
            root: self.tree.root(),
            created_at_ms: now_ms,
            expires_at_ms: now_ms.saturating_add(life_ms),
        }
    }

    /// Whether a head is over it.
    pub fn is_of(&self, head: &DirectoryHead) -> bool {
        self.tree.count() == head.count && self.tree.root() == head.root
    }

    /// The network's document.
    pub fn network(&self) -> Option<Listed<NetworkDocument>> {
        Listed::new(&self.tree, 0, self.network.clone())
    }

    /// The document of a group.
    pub fn group(&self, name: &str) -> Option<Listed<GroupDocument>> {
        self.listed(&self.groups, name, 1)
    }

    /// The membership of who has this local part.
    pub fn membership(&self, local: &str) -> Option<Listed<MembershipDocument>> {
        self.listed(&self.memberships, local, 1 + self.groups.len())
    }

    fn listed<T: Document>(&self, of: &[(String, Vec<u8>)], name: &str, before: usize) -> Option<Listed<T>> {
        let place = of.binary_search_by(|(other, _)| other.as_str().cmp(name)).ok()?;
        let (_, payload) = of.get(place)?;
        Listed::new(&self.tree, u32::try_from(before + place).ok()?, payload.clone())
    }
}

fn payload<T>(signed: &[u8]) -> Result<Vec<u8>, DecodeError> {
    Ok(Signed::<T>::from_bytes(signed)?.payload().to_vec())
}

fn by_name<'a, T>(
    documents: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<Vec<(String, Vec<u8>)>, DecodeError> {
    let read = documents.into_iter().map(|(name, signed)| Ok((name.to_owned(), payload::<T>(signed)?)));
    let mut read = read.collect::<Result<Vec<_>, DecodeError>>()?;
    read.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(read)
}

#[cfg(test)]
mod tests {
    use sotto_crypto::{Address, PolicyKey, SystemRng};

    use super::*;
    use crate::policy::{FederationRule, GroupFederation, PasswordRule, ReadReceipts};

    fn domain() -> Domain {
        Domain::parse("x.example").unwrap()
    }

    fn network(key: &PolicyKey) -> Vec<u8> {
        let document = NetworkDocument {
            version: 1,
            domain: domain(),
            serial: 1,
            display_name: "X".into(),
            retention: Vec::new(),
            federation: FederationRule::default(),
            read_receipts: ReadReceipts::Enabled,
            refuse_sending_after_days: 7,
        };
        Signed::sign(&document, key).to_bytes()
    }

    fn group(name: &str, key: &PolicyKey) -> Vec<u8> {
        let document = GroupDocument {
            version: 1,
            domain: domain(),
            serial: 1,
            name: name.into(),
            lockout_threshold: 0,
            force_device_lockout: 0,
            password: PasswordRule { min_length: 8, lowercase: 0, uppercase: 0, numbers: 0, symbols: 0 },
            max_expiry_seconds: 0,
            max_burn_seconds: 0,
            federation: GroupFederation::None,
            files_enabled: true,
            file_download_enabled: true,
            forwarding_enabled: true,
            presence_enabled: true,
            device_approval: false,
            quick_responses: Vec::new(),
        };
        Signed::sign(&document, key).to_bytes()
    }

    fn membership(local: &str, serial: u64, key: &PolicyKey) -> Vec<u8> {
        let address = Address::new(local, &domain()).unwrap();
        let group = "staff".to_owned();
        let (identity, invite, devices_from_ms, name) = (None, None, 0, None);
        let document =
            MembershipDocument { version: 1, serial, address, group, identity, invite, devices_from_ms, name };
        Signed::sign(&document, key).to_bytes()
    }

    fn directory(names: &[&str], key: &PolicyKey) -> Directory {
        let groups = [("staff", group("staff", key)), ("guests", group("guests", key))];
        let members: Vec<(&str, Vec<u8>)> = names.iter().map(|name| (*name, membership(name, 1, key))).collect();
        let groups = groups.iter().map(|(name, signed)| (*name, signed.as_slice()));
        let members = members.iter().map(|(name, signed)| (*name, signed.as_slice()));
        Directory::new(&network(key), groups, members).unwrap()
    }

    #[test]
    fn every_document_is_proved_and_no_other() {
        let key = PolicyKey::generate(&mut SystemRng);
        let names = ["bob", "alice", "a.b", "a-b", "zoe"];
        let all = directory(&names, &key);
        let head = all.head(domain(), 5, 1_000, HEAD_LIFE_MS);
        assert_eq!((head.count, head.renewal_ms()), (8, 1_000 + HEAD_LIFE_MS / 2));
        assert!(all.is_of(&head));
        assert_eq!(head.read(&all.network().unwrap()).unwrap().display_name, "X");
        for name in ["staff", "guests"] {
            assert_eq!(head.read(&all.group(name).unwrap()).unwrap().name, name);
        }
        for name in names {
            assert_eq!(head.read(&all.membership(name).unwrap()).unwrap().address.local(), name);
        }
        assert!(all.group("traders").is_none() && all.membership("carol").is_none());

        // One who has left, and one who has another document now: each head is of its own documents only.
        let fewer = directory(&names[1..], &key);
        let newer = fewer.head(domain(), 6, 1_000, HEAD_LIFE_MS);
        assert!(!fewer.is_of(&head) && !all.is_of(&newer));
        let bobs = all.membership("bob").unwrap();
        assert_eq!(newer.read(&bobs), Err(NotListed::Proof));
    }

    #[test]
    fn the_order_in_which_documents_come_does_not_matter_and_neither_do_signatures() {
        let key = PolicyKey::generate(&mut SystemRng);
        let (one, other) = (directory(&["a", "b", "c"], &key), directory(&["c", "a", "b"], &key));
        let head = one.head(domain(), 1, 0, 1);
        // Each was signed anew, with another signature.
        assert!(other.is_of(&head));
    }

    #[test]
    fn one_kind_of_document_is_not_taken_for_another() {
        let key = PolicyKey::generate(&mut SystemRng);
        let all = directory(&["a"], &key);
        let head = all.head(domain(), 1, 0, 1);
        let bytes = sotto_crypto::encode(&all.group("staff").unwrap());
        let as_membership: Listed<MembershipDocument> = sotto_crypto::decode_strict(&bytes).unwrap();
        assert_eq!(head.read(&as_membership), Err(NotListed::Proof));
    }
}
