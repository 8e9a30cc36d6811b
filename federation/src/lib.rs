//! The gateway that carries sealed messages between networks
