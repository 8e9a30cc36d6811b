//! The labels that a metric may carry. What is not listed here is removed from the metric: a label with a user, room or
//! device would leak who talks to whom, and multiply cost.

/// What was asked for: an API operation, by its name in the code (never a path with parameters).
pub const OPERATION: &str = "operation";
/// The domain of a peer network.
pub const PEER: &str = "peer";
/// The kind of a custom resource.
pub const KIND: &str = "kind";
/// Why something was refused: a code from a fixed list.
pub const REASON: &str = "reason";
/// The domain of a network, where one process serves several (the operator); becomes the dimension `Network`.
pub const NETWORK: &str = "network";

/// Every label that passes, with its name as a CloudWatch dimension.
pub(crate) const ALLOWED: [(&str, &str); 5] =
    [(OPERATION, "Operation"), (PEER, "Peer"), (KIND, "Kind"), (REASON, "Reason"), (NETWORK, NETWORK_DIMENSION)];

/// The dimension that every metric in CloudWatch has.
pub(crate) const NETWORK_DIMENSION: &str = "Network";

/// What replaces the value of a label once [`MAX_SERIES`] different ones have been seen.
pub(crate) const OVERFLOW: &str = "other";

/// How many different label values one metric may have in one process.
pub(crate) const MAX_SERIES: usize = 100;

/// The longest label value that is kept: CloudWatch allows 1,024 in a dimension, a DNS name has at most 253.
pub(crate) const MAX_VALUE: usize = 253;
