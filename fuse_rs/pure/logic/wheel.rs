// SPDX-License-Identifier: GPL-2.0

//! When to look at things that end at moments of their own: a ring of slots, one for a period each.
//!
//! Who keeps the things puts each into the [slot](Wheel::slot) for its end, and empties the slots
//! that [`Wheel::turn`] names. What has not ended by then is put in again: either its end has been
//! put off meanwhile, or it lies beyond what the ring reaches.

use core::num::NonZeroU64;

/// Slots of the ring.
pub const SLOTS: usize = 64;

/// The ring. All times are in the same unit, from the same moment on.
#[derive(Debug)]
pub struct Wheel {
    period: NonZeroU64,
    /// The period whose slot was emptied last.
    at: u64,
}

fn index(period: u64) -> usize {
    (period % SLOTS as u64) as usize
}

impl Wheel {
    /// A ring at `now`.
    pub fn new(period: NonZeroU64, now: u64) -> Self {
        Self {
            period,
            at: now / period,
        }
    }

    /// The slot for what ends at `end`: it is named at latest two periods later, if
    /// [`Wheel::turn`] is called in every period.
    pub fn slot(&self, end: u64) -> usize {
        let due = (end / self.period).saturating_add(1);
        // Never that which is being emptied.
        let first = self.at.saturating_add(1);
        let last = self.at.saturating_add(SLOTS as u64 - 1);
        index(due.max(first).min(last))
    }

    /// The next slot whose period has come at `now`, if there is one. If the ring has stood still
    /// for longer than it reaches, each slot is named once.
    pub fn turn(&mut self, now: u64) -> Option<usize> {
        let present = now / self.period;
        if self.at >= present {
            return None;
        }
        let oldest = present.saturating_sub(SLOTS as u64 - 1);
        self.at = self.at.saturating_add(1).max(oldest);
        Some(index(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: u64 = 10;

    fn wheel(now: u64) -> Wheel {
        Wheel::new(NonZeroU64::new(PERIOD).unwrap(), now)
    }

    /// Turns until nothing is due; whether `slot` was named.
    fn names(wheel: &mut Wheel, now: u64, slot: usize) -> bool {
        let mut named = false;
        while let Some(due) = wheel.turn(now) {
            named |= due == slot;
        }
        named
    }

    #[test]
    fn a_slot_is_named_when_its_period_is_over() {
        let mut wheel = wheel(1000);
        let slot = wheel.slot(1035);
        assert!(!names(&mut wheel, 1035, slot));
        assert!(!names(&mut wheel, 1039, slot));
        assert!(names(&mut wheel, 1040, slot));
        assert!(!names(&mut wheel, 1049, slot));
    }

    #[test]
    fn what_is_over_is_named_in_the_next_period() {
        for end in [0, 5, 999, 1000, 1009] {
            let mut wheel = wheel(1005);
            let slot = wheel.slot(end);
            assert!(!names(&mut wheel, 1009, slot));
            assert!(names(&mut wheel, 1010, slot), "{end}");
        }
    }

    #[test]
    fn what_is_put_in_while_a_slot_is_emptied_goes_elsewhere() {
        let mut wheel = wheel(0);
        for now in 0..2000 {
            while let Some(slot) = wheel.turn(now) {
                for end in [
                    0,
                    now,
                    now + PERIOD,
                    now + 630,
                    now + 640,
                    now + 650,
                    u64::MAX,
                ] {
                    assert_ne!(wheel.slot(end), slot, "{now} {end}");
                }
            }
        }
    }

    #[test]
    fn what_lies_far_ahead_is_named_before() {
        for end in [640, 6400, u64::MAX] {
            let mut wheel = wheel(0);
            let slot = wheel.slot(end);
            let first = (0..).find(|now| names(&mut wheel, *now, slot)).unwrap();
            assert_eq!(first, (SLOTS as u64 - 1) * PERIOD);
        }
    }

    #[test]
    fn after_a_long_rest_each_slot_is_named_once() {
        let mut wheel = wheel(7);
        let mut seen = [0; SLOTS];
        while let Some(slot) = wheel.turn(1_000_000) {
            seen[slot] += 1;
        }
        assert_eq!(seen, [1; SLOTS]);
        assert_eq!(wheel.turn(1_000_009), None);
        assert!(wheel.turn(1_000_010).is_some());
    }

    #[test]
    fn nothing_is_named_again_when_time_goes_back() {
        let mut wheel = wheel(1000);
        assert_eq!(wheel.turn(1), None);
        assert!(wheel.turn(u64::MAX).is_some());
    }
}
