//! One number for all that has happened: two runs with the same digest went the same way.

/// FNV-1a, 64 bits: the same on every machine and in every version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Digest(u64);

impl Digest {
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub fn take(&mut self, word: u64) {
        for byte in word.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub fn hex(self) -> String {
        format!("{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_fnv() {
        assert_eq!(Digest::new().hex(), "cbf29ce484222325");
        let mut digest = Digest::new();
        digest.take(0);
        assert_eq!(digest.hex(), "a8c7f832281a39c5", "eight zero bytes");
    }
}
