//! One file a verb.

pub(crate) mod devices;
pub(crate) mod down;
pub(crate) mod invite;
pub(crate) mod join;
pub(crate) mod profile;
pub(crate) mod receive;
pub(crate) mod send;
pub(crate) mod servers;
pub(crate) mod status;
pub(crate) mod up;
pub(crate) mod verify;
pub(crate) mod whoami;
