//! The forms that both implementations hold their inputs to, whatever their libraries would let pass.

use subtle::{Choice, ConstantTimeEq};

use super::{Failed, POINT_LEN, SCALAR_LEN, SIGNATURE_LEN};

/// The order of the group, big endian (SP 800-186, section 3.2.1.5).
pub(super) const ORDER: [u8; SCALAR_LEN] = [
    0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfa, 0x51, 0x86, 0x87, 0x83,
    0xbf, 0x2f, 0x96, 0x6b, 0x7f, 0xcc, 0x01, 0x48, 0xf7, 0x09, 0xa5, 0xd0, 0x3b, 0xb5, 0xc9, 0xb8, 0x89, 0x9c, 0x47,
    0xae, 0xbb, 0x6f, 0xb7, 0x1e, 0x91, 0x38, 0x64, 0x09,
];

/// A point is `0x04 || x || y`; compressed, hybrid and DER forms, and the point at infinity, are not taken. That it is on
/// the curve, and that its coordinates are below the field's prime, is checked by whoever parses it.
pub(super) fn point(point: &[u8; POINT_LEN]) -> Result<(), Failed> {
    if point[0] == 4 { Ok(()) } else { Err(Failed) }
}

/// A secret scalar is in `1..n`. Only the answer is not constant time.
pub(super) fn scalar(bytes: &[u8; SCALAR_LEN]) -> Result<(), Failed> {
    if bool::from(in_range(bytes)) { Ok(()) } else { Err(Failed) }
}

/// Both halves of a signature are in `1..n` (FIPS 186-5, section 6.4.2).
pub(super) fn signature(signature: &[u8; SIGNATURE_LEN]) -> Result<(), Failed> {
    let (r, s) = signature.split_at(SCALAR_LEN);
    if bool::from(in_range(r) & in_range(s)) { Ok(()) } else { Err(Failed) }
}

/// Whether a number of the length of the order is in `1..n`, in constant time.
fn in_range(bytes: &[u8]) -> Choice {
    let mut any = 0_u8;
    let mut borrow = 0_u16;
    for (byte, order) in bytes.iter().rev().zip(ORDER.iter().rev()) {
        any |= byte;
        // Below zero: the high byte of the difference is all ones.
        borrow = u16::from(*byte).wrapping_sub(u16::from(*order)).wrapping_sub(borrow) >> 8 & 1;
    }
    !any.ct_eq(&0) & borrow.ct_eq(&1)
}
