// SPDX-License-Identifier: GPL-2.0

//! What goes on at some moment, told apart from what begins later.
//!
//! What begins belongs to the present generation. Who waits for all that goes on has the next one
//! begin, and waits until the one before is over. Two are told apart at a time: the next one begins
//! when the one before the present is over.

/// One of the generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u64);

/// How much goes on. Callers keep it under a lock.
#[derive(Debug, Default)]
pub struct Generations {
    number: u64,
    of_present: u64,
    of_last: u64,
}

impl Generations {
    /// Something begins; [`Self::end`] is due for it.
    pub fn begin(&mut self) -> Generation {
        self.of_present = self.of_present.saturating_add(1);
        self.present()
    }

    /// Something that began in this generation is over. `true`: it was the last of those, and who
    /// waits is to be woken.
    #[must_use]
    pub fn end(&mut self, of: Generation) -> bool {
        let left = if of == self.present() {
            &mut self.of_present
        } else {
            &mut self.of_last
        };
        *left = left.saturating_sub(1);
        *left == 0
    }

    /// Whether nothing goes on.
    pub const fn is_idle(&self) -> bool {
        self.of_present == 0 && self.of_last == 0
    }

    /// That to which belongs what begins.
    pub const fn present(&self) -> Generation {
        Generation(self.number)
    }

    /// Whether all is over that began in a generation or before. What begins from here on does not
    /// delay that: if it can be, it belongs to the next generation.
    pub fn is_over(&mut self, last: Generation) -> bool {
        if last == self.present() && self.of_last == 0 {
            self.number = self.number.wrapping_add(1);
            self.of_last = core::mem::take(&mut self.of_present);
        }
        match self.number.wrapping_sub(last.0) {
            0 => false,
            1 => self.of_last == 0,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_counted() {
        let mut all = Generations::default();
        assert!(all.is_idle());
        let (a, b) = (all.begin(), all.begin());
        assert!(!all.end(a) && !all.is_idle());
        assert!(all.end(b) && all.is_idle());
    }

    #[test]
    fn what_is_idle_is_over() {
        let mut all = Generations::default();
        let last = all.present();
        assert!(all.is_over(last));
    }

    #[test]
    fn what_begins_later_is_not_waited_for() {
        let mut all = Generations::default();
        let early = all.begin();
        let last = all.present();
        assert!(!all.is_over(last));
        let late = all.begin();
        assert!(all.end(early));
        assert!(all.is_over(last) && !all.is_idle());
        assert!(all.end(late) && all.is_idle());
    }

    #[test]
    fn who_waits_later_waits_for_all_before() {
        let mut all = Generations::default();
        let first = all.begin();
        let one = all.present();
        assert!(!all.is_over(one));
        let second = all.begin();
        let two = all.present();
        // No third generation can begin yet.
        assert!(!all.is_over(two));
        assert!(!all.end(second) || !all.is_over(two));
        assert!(all.end(first));
        assert!(all.is_over(one) && all.is_over(two));
    }

    #[test]
    fn many_generations_pass_while_more_always_begins() {
        let mut all = Generations::default();
        let mut going_on = all.begin();
        for _ in 0..100 {
            let last = all.present();
            assert!(!all.is_over(last));
            let next = all.begin();
            assert!(all.end(going_on));
            assert!(all.is_over(last));
            going_on = next;
        }
        assert!(!all.is_idle());
    }
}
