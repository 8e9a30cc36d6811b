//! Why a relay closes a device's socket: the close codes (RFC 6455 §7.4.2, private use) as they travel.

/// Why a socket was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCode {
    /// The same device has opened another socket.
    Replaced,
    /// A frame could not be read.
    BadFrame,
    /// The user was suspended.
    Suspended,
    /// The device was removed.
    Removed,
}

impl CloseCode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Replaced, Self::BadFrame, Self::Suspended, Self::Removed];

    /// As it travels.
    pub const fn number(self) -> u16 {
        match self {
            Self::Replaced => 4001,
            Self::BadFrame => 4002,
            Self::Suspended => 4003,
            Self::Removed => 4004,
        }
    }

    /// What a number means; `None` for one that is not ours.
    pub fn of(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_code() {
        assert!(CloseCode::ALL.iter().all(|code| CloseCode::of(code.number()) == Some(*code)));
        assert_eq!(CloseCode::of(1000), None);
    }
}
