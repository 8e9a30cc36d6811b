//! The user's devices: which there are, removing them, and what adds one — an approval, the recovery key, the password.

pub(crate) mod approve;
pub(crate) mod login;
pub(crate) mod opaque;
pub(crate) mod own;
pub(crate) mod password;
