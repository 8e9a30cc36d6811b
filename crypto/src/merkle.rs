//! Merkle trees as in RFC 9162, section 2.1, over the keys of a batch: one signature over the root vouches for all.

use crate::suite::{Current, DIGEST_LEN, Primitives};

pub(crate) type Node = [u8; DIGEST_LEN];

/// A leaf: `H(0x00 || index || key)`. The index is in it, so that a key is good for its own place only.
pub(crate) fn leaf(index: u32, key: &[u8]) -> Node {
    Current::short_hash(&[&[0x00], &index.to_be_bytes(), key])
}

fn node(left: &Node, right: &Node) -> Node {
    Current::short_hash(&[&[0x01], left, right])
}

/// The largest power of two smaller than `n`, for `n > 1`.
fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}

/// RFC 9162, section 2.1.1:
///
/// ```text
/// MTH({})   = HASH()
/// MTH({d0}) = HASH(0x00 || d0)
/// MTH(D[n]) = HASH(0x01 || MTH(D[0:k]) || MTH(D[k:n])),  k the largest power of two smaller than n
/// ```
pub(crate) fn root(leaves: &[Node]) -> Node {
    match leaves {
        [] => Current::short_hash(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node(&root(left), &root(right))
        }
    }
}

/// RFC 9162, section 2.1.3.1:
///
/// ```text
/// PATH(0, {d0}) = {}
/// PATH(m, D[n]) = PATH(m, D[0:k]) : MTH(D[k:n])      for m < k
/// PATH(m, D[n]) = PATH(m - k, D[k:n]) : MTH(D[0:k])  for m >= k
/// ```
pub(crate) fn proof(leaves: &[Node], index: usize) -> Option<Vec<Node>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, sibling) = if index < left.len() {
        (proof(left, index)?, root(right))
    } else {
        (proof(right, index - left.len())?, root(left))
    };
    path.push(sibling);
    Some(path)
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

    #[test]
    fn every_proof_of_every_size_verifies_and_no_other() {
        for count in 1..=130_u32 {
            let leaves = leaves(count);
            let root = root(&leaves);
            for index in 0..count {
                let path = proof(&leaves, index as usize).unwrap();
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
            assert!(proof(&leaves, count as usize).is_none());
            assert!(!verify(&root, count, count, leaves[0], &[]));
        }
    }

    #[test]
    fn the_root_of_nothing_is_the_digest_of_nothing() {
        assert_eq!(root(&[]), Current::short_hash(&[]));
        assert!(!verify(&root(&[]), 0, 0, [0; DIGEST_LEN], &[]));
    }

    #[test]
    fn order_and_count_matter() {
        let mut swapped = leaves(5);
        swapped.swap(0, 1);
        assert_ne!(root(&swapped), root(&leaves(5)));
        assert_ne!(root(&leaves(4)), root(&leaves(5)));
    }
}
