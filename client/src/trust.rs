//! Who somebody is, and what the network says: policy documents, memberships, pins. The only layer that decides about trust;
//! whoever sends, receives or shows asks here.

mod asking;
pub(crate) mod contacts;
mod current;
pub(crate) mod identity;
mod introduce;
pub(crate) mod learned;
pub(crate) mod lists;
pub(crate) mod names;
pub(crate) mod own;
pub(crate) mod pins;
pub(crate) mod policy;
pub(crate) mod recipients;
pub(crate) mod retention;
pub(crate) mod state;
pub(crate) mod vouched;
