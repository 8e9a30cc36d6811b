//! Stores and forwards sealed messages
