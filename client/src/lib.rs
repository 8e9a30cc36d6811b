//! The client library: account, devices, conversations, sync
