//! The reasons of conditions and events: one list, because tools and people match on these words. Add, never rename.

/// Why a condition is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Everything that the object asks for is so.
    Reconciled,
    /// A workload is starting or rolling to a new configuration.
    RollingOut,
    /// The relay has not answered yet.
    WaitingForRelay,
    /// The network that the object belongs to is not ready.
    WaitingForNetwork,
    /// The security group that the user belongs to is not good.
    WaitingForSecurityGroup,
    /// The retention process has not registered yet.
    WaitingForRegistration,
    /// cert-manager has not made the relay's certificate yet.
    WaitingForCertificate,
    /// The object is switched off (`enabled: false`).
    SwitchedOff,
    /// A field of the object is wrong by itself.
    InvalidSpec,
    /// The object cannot be read as what it should be.
    Unreadable,
    /// `networkRef` names no Network in the namespace.
    NetworkNotFound,
    /// A security group that is named is not in the namespace.
    SecurityGroupNotFound,
    /// A security group that is named belongs to another network.
    SecurityGroupOfAnotherNetwork,
    /// Two networks have the same domain.
    DuplicateDomain,
    /// Two users, or a user and a retention process, have the same address.
    DuplicateAddress,
    /// Two groups of a network are its default.
    DefaultConflict,
    /// An expiry is longer than the network's tier allows.
    TierLimit,
    /// A network has more security groups than it may.
    TooManyGroups,
    /// A peer has no details, and no Network in the namespace has its domain.
    PeerNotFound,
    /// A Secret that the object names is missing.
    SecretNotFound,
    /// A Secret that the object names is one of the operator's own.
    SecretReserved,
    /// A Secret that the operator keeps holds something else than it should.
    SecretUnusable,
    /// A key that the network had is not there any more.
    KeysLost,
    /// The relay cannot be reached.
    RelayUnreachable,
    /// The relay refused what it was asked.
    RelayRefused,
    /// The API server refused an object that the operator made.
    ApplyFailed,
    /// The cluster does not know a kind that is asked for (Gateway API, cert-manager).
    KindMissing,
    /// A workload does not get ready.
    WorkloadFailing,
    /// Messages that a retention process should have have not come.
    MessagesMissing,
    /// A retention process does not say whether messages are missing.
    ProcessSilent,
    /// The object is being deleted.
    Deleting,
    /// Somebody has paused the object.
    Paused,
}

impl Reason {
    /// The word in conditions and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reconciled => "Reconciled",
            Self::RollingOut => "RollingOut",
            Self::WaitingForRelay => "WaitingForRelay",
            Self::WaitingForNetwork => "WaitingForNetwork",
            Self::WaitingForSecurityGroup => "WaitingForSecurityGroup",
            Self::WaitingForRegistration => "WaitingForRegistration",
            Self::WaitingForCertificate => "WaitingForCertificate",
            Self::SwitchedOff => "SwitchedOff",
            Self::InvalidSpec => "InvalidSpec",
            Self::Unreadable => "Unreadable",
            Self::NetworkNotFound => "NetworkNotFound",
            Self::SecurityGroupNotFound => "SecurityGroupNotFound",
            Self::SecurityGroupOfAnotherNetwork => "SecurityGroupOfAnotherNetwork",
            Self::DuplicateDomain => "DuplicateDomain",
            Self::DuplicateAddress => "DuplicateAddress",
            Self::DefaultConflict => "DefaultConflict",
            Self::TierLimit => "TierLimit",
            Self::TooManyGroups => "TooManyGroups",
            Self::PeerNotFound => "PeerNotFound",
            Self::SecretNotFound => "SecretNotFound",
            Self::SecretReserved => "SecretReserved",
            Self::SecretUnusable => "SecretUnusable",
            Self::KeysLost => "KeysLost",
            Self::Paused => "Paused",
            Self::RelayUnreachable => "RelayUnreachable",
            Self::RelayRefused => "RelayRefused",
            Self::ApplyFailed => "ApplyFailed",
            Self::KindMissing => "KindMissing",
            Self::WorkloadFailing => "WorkloadFailing",
            Self::MessagesMissing => "MessagesMissing",
            Self::ProcessSilent => "ProcessSilent",
            Self::Deleting => "Deleting",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
