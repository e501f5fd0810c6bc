// SPDX-License-Identifier: GPL-2.0

//! How long a name may be believed: until a moment, and as long as the epoch lasts in which the
//! server has told of it. Both are in one word, so that they are read and written together.

/// Bits of the word that tell the epoch.
const EPOCH_BITS: u32 = 24;
/// Bits of a moment in nanoseconds that are left out: it is told in units of about a millisecond,
/// of which there are enough for 36 years.
const UNIT_BITS: u32 = 20;
const LAST_UNIT: u64 = u64::MAX >> EPOCH_BITS;

/// The number of an epoch. That of 2^24 epochs later is taken for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(pub u64);

impl Epoch {
    const fn bits(self) -> u64 {
        self.0 & ((1 << EPOCH_BITS) - 1)
    }
}

/// How long a name may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Belief(u64);

impl Belief {
    /// Not at all.
    pub const NONE: Self = Self(0);

    /// Until `deadline` in nanoseconds, or up to a unit longer, in `epoch`.
    pub const fn new(deadline: u64, epoch: Epoch) -> Self {
        if deadline == 0 {
            return Self::NONE;
        }
        let units = (deadline >> UNIT_BITS).saturating_add(1);
        let units = if units > LAST_UNIT { LAST_UNIT } else { units };
        Self(units << EPOCH_BITS | epoch.bits())
    }

    /// As it was stored.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// To be stored.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The moment at which it ends in nanoseconds, if its epoch lasts.
    pub const fn end(self) -> u64 {
        (self.0 >> EPOCH_BITS) << UNIT_BITS
    }

    /// Whether the name may be believed at `now`.
    #[inline]
    pub const fn holds(self, now: u64, epoch: Epoch) -> bool {
        self.end() > now && (self.0 ^ epoch.0) << (u64::BITS - EPOCH_BITS) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: u64 = 1 << UNIT_BITS;

    #[test]
    fn a_belief_ends_with_its_time() {
        for deadline in [1, UNIT - 1, UNIT, UNIT + 1, 1 << 40, 1 << 59] {
            let belief = Belief::new(deadline, Epoch(5));
            assert!(belief.holds(deadline - 1, Epoch(5)), "{deadline}");
            assert!(!belief.holds(deadline + UNIT, Epoch(5)), "{deadline}");
            assert_eq!(belief, Belief::from_bits(belief.bits()));
        }
    }

    #[test]
    fn a_belief_ends_with_its_epoch() {
        let belief = Belief::new(1 << 40, Epoch(5));
        for other in [0, 4, 6, 7, 1 << 20, (1 << 24) - 1, 1 << 24] {
            assert!(!belief.holds(0, Epoch(other)), "{other}");
        }
        let last = Belief::new(1 << 40, Epoch((1 << 24) - 1));
        assert!(last.holds(0, Epoch((1 << 24) - 1)));
        assert!(!last.holds(0, Epoch(1 << 24)));
    }

    #[test]
    fn for_ever_is_long() {
        let belief = Belief::new(u64::MAX, Epoch(0));
        let years = 36 * 365 * 86400 * 1_000_000_000;
        assert!(belief.holds(years, Epoch(0)));
    }

    #[test]
    fn nothing_is_never_believed() {
        for epoch in [0, 1, 1 << 24] {
            assert!(!Belief::NONE.holds(0, Epoch(epoch)));
            assert!(!Belief::new(0, Epoch(epoch)).holds(0, Epoch(epoch)));
        }
    }
}
