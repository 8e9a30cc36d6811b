//! Merkle trees as in RFC 9162, section 2.1: one signature over the root vouches for all leaves.

use crate::suite::{Current, DIGEST_LEN, Primitives};

/// A node of a tree, its root or a leaf.
pub type Node = [u8; DIGEST_LEN];

/// A leaf of the tree over a batch's prekeys: `H(0x00 || index || key)`. The index is in it, so that a key is good for its own place
/// only.
pub(crate) fn leaf(index: u32, key: &[u8]) -> Node {
    Current::short_hash(&[&[0x00], &index.to_be_bytes(), key])
}

/// A leaf of a tree over documents: `H(0x00 || label || 0x00 || payload)`, of what a signature of the document is over, so that one
/// kind of document cannot be taken for another here either.
pub(crate) fn document_leaf(label: &str, payload: &[u8]) -> Node {
    Current::short_hash(&[&[0x00], label.as_bytes(), &[0x00], payload])
}

fn node(left: &Node, right: &Node) -> Node {
    Current::short_hash(&[&[0x01], left, right])
}

/// A tree with all its nodes, so that a proof costs no hashing.
///
/// RFC 9162, section 2.1.1, splits n leaves at the largest power of two below n:
///
/// ```text
/// MTH({})   = HASH()
/// MTH({d0}) = HASH(0x00 || d0)
/// MTH(D[n]) = HASH(0x01 || MTH(D[0:k]) || MTH(D[k:n]))
/// ```
///
/// From the leaves upwards that is: nodes are joined in pairs, and one that is left over goes up as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MerkleTree {
    /// The leaves, and the nodes above them up to the root; at least one level.
    levels: Vec<Vec<Node>>,
}

impl MerkleTree {
    /// The tree over these leaves, at most 2^32 - 1.
    pub fn new(leaves: Vec<Node>) -> Self {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let joined = below.chunks(2).map(|pair| match pair {
                [left, right] => node(left, right),
                one => one[0],
            });
            levels.push(joined.collect());
        }
        Self { levels }
    }

    /// What a signature is over.
    pub fn root(&self) -> Node {
        match self.levels.last().map(Vec::as_slice) {
            Some([root]) => *root,
            _ => Current::short_hash(&[]),
        }
    }

    /// The number of leaves.
    pub fn count(&self) -> u32 {
        self.levels.first().map_or(0, |leaves| u32::try_from(leaves.len()).unwrap_or(u32::MAX))
    }

    /// RFC 9162, section 2.1.3.1: the nodes beside the way from a leaf to the root, from below; `None` where there is no such leaf.
    ///
    /// ```text
    /// PATH(0, {d0}) = {}
    /// PATH(m, D[n]) = PATH(m, D[0:k]) : MTH(D[k:n])      for m < k
    /// PATH(m, D[n]) = PATH(m - k, D[k:n]) : MTH(D[0:k])  for m >= k
    /// ```
    pub fn path(&self, index: u32) -> Option<Vec<Node>> {
        let mut place = usize::try_from(index).ok().filter(|_| index < self.count())?;
        let mut path = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            // What is left over has nothing beside it.
            path.extend(level.get(place ^ 1));
            place >>= 1;
        }
        Some(path)
    }
}

/// RFC 9162, section 2.1.3.2: whether `path` leads from the leaf at `index` to the root of a tree of `count` leaves.
///
/// ```text
/// if leaf_index >= tree_size: fail;  fn = leaf_index, sn = tree_size - 1, r = hash
/// for p in path:
///   if sn = 0: fail
///   if LSB(fn) or fn = sn: r = HASH(0x01 || p || r); if not LSB(fn): shift fn, sn right until LSB(fn) or fn = 0
///   else:                  r = HASH(0x01 || r || p)
///   shift fn, sn right once
/// sn = 0 and r = root_hash
/// ```
pub(crate) fn verify(root: &Node, count: u32, index: u32, leaf: Node, path: &[Node]) -> bool {
    if index >= count {
        return false;
    }
    let (mut place, mut last, mut hash) = (index, count - 1, leaf);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            hash = node(sibling, &hash);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u32) -> Vec<Node> {
        (0..count).map(|index| leaf(index, &index.to_le_bytes())).collect()
    }

    /// As RFC 9162 writes it down.
    fn recursive_root(leaves: &[Node]) -> Node {
        match leaves {
            [] => Current::short_hash(&[]),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node(&recursive_root(left), &recursive_root(right))
            }
        }
    }

    fn recursive_path(leaves: &[Node], index: usize) -> Vec<Node> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        let (mut path, sibling) = if index < left.len() {
            (recursive_path(left, index), recursive_root(right))
        } else {
            (recursive_path(right, index - left.len()), recursive_root(left))
        };
        path.push(sibling);
        path
    }

    #[test]
    fn every_proof_of_every_size_verifies_and_no_other() {
        for count in 1..=130_u32 {
            let leaves = leaves(count);
            let tree = MerkleTree::new(leaves.clone());
            let root = tree.root();
            assert_eq!((root, tree.count()), (recursive_root(&leaves), count));
            for index in 0..count {
                let path = tree.path(index).unwrap();
                assert_eq!(path, recursive_path(&leaves, index as usize), "{index} of {count}");
                let own = leaves[index as usize];
                assert!(verify(&root, count, index, own, &path), "{index} of {count}");
                let other = (index + 1) % count;
                if other != index {
                    assert!(!verify(&root, count, other, own, &path), "{index} as {other} of {count}");
                    assert!(!verify(&root, count, index, leaves[other as usize], &path));
                    assert!(!verify(&root, count, index, own, &path[..path.len() - 1]));
                    let mut wrong = path.clone();
                    wrong[0][0] ^= 1;
                    assert!(!verify(&root, count, index, own, &wrong));
                }
                let mut longer = path.clone();
                longer.push([0; DIGEST_LEN]);
                assert!(!verify(&root, count, index, own, &longer));
            }
            assert!(tree.path(count).is_none());
            assert!(!verify(&root, count, count, leaves[0], &[]));
        }
    }

    #[test]
    fn the_root_of_nothing_is_the_digest_of_nothing() {
        let root = MerkleTree::new(Vec::new()).root();
        assert_eq!(root, Current::short_hash(&[]));
        assert!(!verify(&root, 0, 0, [0; DIGEST_LEN], &[]));
    }

    #[test]
    fn order_and_count_matter() {
        let mut swapped = leaves(5);
        swapped.swap(0, 1);
        let root = |leaves| MerkleTree::new(leaves).root();
        assert_ne!(root(swapped), root(leaves(5)));
        assert_ne!(root(leaves(4)), root(leaves(5)));
    }
}
