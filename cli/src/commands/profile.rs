//! Profile folders.
