//! Label and identifiers of the OPAQUE exchange (RFC 9807), so that client and relay bind the same context.
//!
//! Cipher suite: OPAQUE-3DH with ristretto255-SHA512 (OPRF and group), HKDF-SHA512, HMAC-SHA512, and Argon2id
//! (RFC 9106 §4, second recommendation: 3 passes, 64 MiB, 4 lanes) as the key stretching function.

/// Context string of the key exchange (RFC 9807 §6.4).
pub const CONTEXT: &[u8] = b"sotto/2 opaque";
/// Argon2id: memory in KiB.
pub const ARGON2_MEMORY_KIB: u32 = 64 * 1024;
/// Argon2id: passes.
pub const ARGON2_PASSES: u32 = 3;
/// Argon2id: lanes.
pub const ARGON2_LANES: u32 = 4;
