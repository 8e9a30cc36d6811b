//! What people carry from one device to another: the code of a link, and the recovery key. In the alphabet of Crockford's
//! base32: no I, L, O or U, so that nothing can be taken for something else.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::suite::{Current, Primitives};

/// The digits of base32, in order.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Digits of a group.
const GROUP: usize = 5;
/// Random digits of a link code: 95 bits.
const CODE_DIGITS: usize = 19;
/// Bytes of a recovery key.
const RECOVERY_LEN: usize = 32;
/// Digits of a recovery key with its check: 256 bits and 19.
const RECOVERY_DIGITS: usize = 55;

/// Text that is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// A character that no code has.
    #[error("`{0}` is in no code: codes are of the digits 0 to 9 and the letters A to Z without I, L, O and U")]
    Character(char),
    /// Too short or too long.
    #[error("the code has {given} characters, {wanted} are expected")]
    Length {
        /// How many there are.
        given: usize,
        /// How many there should be.
        wanted: usize,
    },
    /// A character is wrong, or two have changed places.
    #[error("the code is mistyped: its last characters do not fit the others; compare it with what is shown")]
    Check,
}

/// The code of a link between two devices: 19 random base32 digits and one to check them. Erased when dropped.
pub struct LinkCode(Zeroizing<[u8; CODE_DIGITS]>);

impl LinkCode {
    /// Makes a code.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut digits = Zeroizing::new([0; CODE_DIGITS]);
        rng.fill_bytes(digits.as_mut_slice());
        digits.iter_mut().for_each(|digit| *digit &= 31);
        Self(digits)
    }

    /// Reads a code as a person types it: capitals or not, with dashes and spaces or without, O for 0, I or L for 1.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let typed = digits(text)?;
        let Some((check, rest)) = typed.split_last().filter(|(_, rest)| rest.len() == CODE_DIGITS) else {
            return Err(CodeError::Length { given: typed.len(), wanted: CODE_DIGITS + 1 });
        };
        let mut digits = Zeroizing::new([0; CODE_DIGITS]);
        digits.copy_from_slice(rest);
        if check_digit(&digits) == *check { Ok(Self(digits)) } else { Err(CodeError::Check) }
    }

    /// The code as it is shown: four groups of five.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut all = Zeroizing::new(self.0.to_vec());
        all.push(check_digit(&self.0));
        grouped(&all)
    }

    /// The 19 random digits as characters: what keys are derived from.
    pub(crate) fn characters(&self) -> Zeroizing<[u8; CODE_DIGITS]> {
        let mut characters = Zeroizing::new([0; CODE_DIGITS]);
        for (character, digit) in characters.iter_mut().zip(self.0.iter()) {
            *character = character_of(*digit);
        }
        characters
    }
}

/// A user's recovery key: opens the recovery vault. Erased when dropped.
pub struct RecoveryKey(Zeroizing<[u8; RECOVERY_LEN]>);

impl RecoveryKey {
    /// Makes a key.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut key = Zeroizing::new([0; RECOVERY_LEN]);
        rng.fill_bytes(key.as_mut_slice());
        Self(key)
    }

    /// The key with these bytes.
    pub fn from_bytes(bytes: &[u8; RECOVERY_LEN]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// Reads a key as a person types it; forgives what [`LinkCode::parse`] forgives.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let typed = digits(text)?;
        if typed.len() != RECOVERY_DIGITS {
            return Err(CodeError::Length { given: typed.len(), wanted: RECOVERY_DIGITS });
        }
        let mut key = Zeroizing::new([0; RECOVERY_LEN]);
        for (place, bit) in bits(&typed).take(RECOVERY_LEN * 8).enumerate() {
            key[place / 8] = key[place / 8] << 1 | bit;
        }
        let key = Self(key);
        if key.digits() == typed { Ok(key) } else { Err(CodeError::Check) }
    }

    /// The key as it is shown: eleven groups of five.
    pub fn to_text(&self) -> Zeroizing<String> {
        grouped(&self.digits())
    }

    /// The key itself.
    pub(crate) fn bytes(&self) -> &[u8; RECOVERY_LEN] {
        &self.0
    }

    /// The 256 bits of the key, and the first 19 of its digest, five to a digit.
    fn digits(&self) -> Zeroizing<Vec<u8>> {
        let digest = Zeroizing::new(Current::short_hash(&[b"sotto/2 recovery key", self.0.as_slice()]));
        let all = self.0.iter().chain(digest.iter());
        let bits = all.flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1));
        let mut digits = Zeroizing::new(vec![0_u8; RECOVERY_DIGITS]);
        for (place, bit) in bits.take(RECOVERY_DIGITS * 5).enumerate() {
            if let Some(digit) = digits.get_mut(place / 5) {
                *digit = *digit << 1 | bit;
            }
        }
        digits
    }
}

/// The bits of digits, the highest first.
fn bits(digits: &[u8]) -> impl Iterator<Item = u8> {
    digits.iter().flat_map(|digit| (0..5).rev().map(move |place| digit >> place & 1))
}

/// The check digit: with weights that are all different and none of them zero, over the field of 32 elements (modulus
/// x^5 + x^2 + 1). It shows every single wrong digit and every two that have changed places.
fn check_digit(digits: &[u8; CODE_DIGITS]) -> u8 {
    // Horner's rule: the digit at place i (from 0) has the weight x^(19 - i).
    digits.iter().fold(0, |sum, digit| times_x(sum ^ digit))
}

/// Multiplies by x.
fn times_x(element: u8) -> u8 {
    let shifted = element << 1;
    // Without a branch on a secret.
    let carry = shifted >> 5 & 1;
    (shifted ^ (0b10_0101 * carry)) & 31
}

/// The digits of a text as a person types it.
pub(crate) fn digits(text: &str) -> Result<Zeroizing<Vec<u8>>, CodeError> {
    let mut digits = Zeroizing::new(Vec::with_capacity(text.len()));
    for character in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
        let upper = match character.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        let digit = (0_u8..).zip(ALPHABET).find(|(_, known)| char::from(**known) == upper);
        digits.push(digit.ok_or(CodeError::Character(character))?.0);
    }
    Ok(digits)
}

pub(crate) fn character_of(digit: u8) -> u8 {
    ALPHABET.get(usize::from(digit)).copied().unwrap_or(b'?')
}

/// Digits as text, in groups with dashes between.
fn grouped(digits: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(digits.len() * 2));
    for (place, digit) in digits.iter().enumerate() {
        if place > 0 && place.is_multiple_of(GROUP) {
            text.push('-');
        }
        text.push(char::from(character_of(*digit)));
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SystemRng;

    #[test]
    fn codes_forgive_how_they_are_typed() {
        let code = LinkCode(Zeroizing::new([0, 1, 2, 3, 4, 0, 1, 9, 9, 31, 30, 20, 17, 7, 6, 5, 0, 0, 1]));
        let shown = code.to_text();
        assert_eq!(shown.len(), 23);
        assert!(shown.starts_with("01234-0199Z-YMH76-5001"), "{}", *shown);
        let sloppy = shown.to_lowercase().replace('0', "o").replace('1', "L").replace('-', " ");
        for typed in [shown.as_str(), &sloppy, &sloppy.replace('L', "i"), &shown.replace('-', "")] {
            assert_eq!(*LinkCode::parse(typed).unwrap().0, *code.0, "{typed}");
        }
        assert_eq!(LinkCode::parse("").err(), Some(CodeError::Length { given: 0, wanted: 20 }));
        assert_eq!(LinkCode::parse(&shown[1..]).err(), Some(CodeError::Length { given: 19, wanted: 20 }));
        assert_eq!(LinkCode::parse(&shown.replace('2', "U")).err(), Some(CodeError::Character('U')));
    }

    #[test]
    fn one_wrong_digit_and_two_swapped_ones_are_noticed() {
        for _ in 0..20 {
            let code = LinkCode::generate(&mut SystemRng);
            let shown: Vec<char> = code.to_text().replace('-', "").chars().collect();
            for place in 0..20 {
                for other in ALPHABET.iter().map(|c| char::from(*c)).filter(|c| *c != shown[place]) {
                    let mut wrong = shown.clone();
                    wrong[place] = other;
                    let wrong: String = wrong.into_iter().collect();
                    assert_eq!(LinkCode::parse(&wrong).err(), Some(CodeError::Check), "{wrong}");
                }
                for second in (0..20).filter(|second| shown[*second] != shown[place]) {
                    let mut wrong = shown.clone();
                    wrong.swap(place, second);
                    let wrong: String = wrong.into_iter().collect();
                    assert_eq!(LinkCode::parse(&wrong).err(), Some(CodeError::Check), "{wrong}");
                }
            }
        }
    }

    #[test]
    fn a_recovery_key_comes_back_and_a_wrong_one_does_not() {
        let key = RecoveryKey::generate(&mut SystemRng);
        let shown = key.to_text();
        assert_eq!((shown.len(), shown.matches('-').count()), (65, 10));
        assert_eq!(RecoveryKey::parse(&shown.to_lowercase().replace('-', " ")).unwrap().bytes(), key.bytes());
        assert_eq!(RecoveryKey::parse(&shown[..64]).err(), Some(CodeError::Length { given: 54, wanted: 55 }));
        let other = if shown.starts_with('7') { "8" } else { "7" };
        assert_eq!(RecoveryKey::parse(&format!("{other}{}", &shown[1..])).err(), Some(CodeError::Check));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = LinkCode::parse(&text);
            let _ = RecoveryKey::parse(&text);
        }
    }
}
