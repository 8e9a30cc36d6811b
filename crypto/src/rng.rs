//! Randomness of the operating system.

use core::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

/// The operating system's random numbers, as an infallible [`rand_core::CryptoRng`].
///
/// Content keys, attachment keys and identifiers come from the generator that a function is given. P-521 keys do so with
/// RustCrypto; AWS-LC takes them from its own generator, so that they are made inside its module (FIPS 140-3).
///
/// # Panics
/// When the operating system has no randomness to give. There is nothing sensible to do without it, and to go on would
/// be to make weak keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRng;

impl TryRng for SystemRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    #[expect(clippy::expect_used, reason = "without randomness every further step would be unsafe")]
    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        getrandom::fill(dst).expect("the operating system's random number generator failed");
        Ok(())
    }
}

impl TryCryptoRng for SystemRng {}
