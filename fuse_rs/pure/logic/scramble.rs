// SPDX-License-Identifier: GPL-2.0

//! Names for lock owners that tell nothing about the kernel: XTEA, as servers have always been
//! given, so that the same owner has the same name for the life of a connection.

const ROUNDS: u32 = 32;
const DELTA: u32 = 0x9e37_79b9;

/// Encrypts one 64-bit value.
pub fn xtea(key: [u32; 4], value: u64) -> u64 {
    let pick = |sum: u32| key[sum as usize & 3];
    let mix = |v: u32| ((v << 4) ^ (v >> 5)).wrapping_add(v);
    let (mut low, mut high) = (value as u32, (value >> 32) as u32);
    let mut sum = 0u32;
    for _ in 0..ROUNDS {
        low = low.wrapping_add(mix(high) ^ sum.wrapping_add(pick(sum)));
        sum = sum.wrapping_add(DELTA);
        high = high.wrapping_add(mix(low) ^ sum.wrapping_add(pick(sum >> 11)));
    }
    u64::from(high) << 32 | u64::from(low)
}

#[cfg(test)]
mod tests {
    use super::xtea;

    #[test]
    fn published_vector() {
        // Key 00 01 … 0f, plain text 41 × 8, read big-endian: 497df3d072612cb5.
        let key = [0x0001_0203, 0x0405_0607, 0x0809_0a0b, 0x0c0d_0e0f];
        let plain = 0x4142_4344_u64 | 0x4546_4748_u64 << 32;
        let cipher = xtea(key, plain);
        assert_eq!(
            (cipher as u32, (cipher >> 32) as u32),
            (0x497d_f3d0, 0x7261_2cb5)
        );
    }
}
