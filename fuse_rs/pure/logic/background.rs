// SPDX-License-Identifier: GPL-2.0

//! How many requests without a waiting caller may be with the server at a time.

/// Counts background requests.
///
/// Requests beyond the limit wait in a queue of the caller's; each completion tells how many of
/// them may go.
#[derive(Clone, Copy, Debug)]
pub struct Background {
    active: u32,
    max: u32,
    congested: u32,
}

impl Background {
    /// Nothing active yet.
    pub const fn new(max: u16, congested: u16) -> Self {
        Self {
            active: 0,
            max: max as u32,
            congested: congested as u32,
        }
    }

    /// Changes the limit. Zero lets nothing start until it is changed again.
    pub fn set_max(&mut self, max: u16) {
        self.max = u32::from(max);
    }

    /// The limit.
    pub const fn max(&self) -> u32 {
        self.max
    }

    /// Changes the number from which on the server counts as congested.
    pub fn set_congestion_threshold(&mut self, congested: u16) {
        self.congested = u32::from(congested);
    }

    /// The number from which on the server counts as congested.
    pub const fn congestion_threshold(&self) -> u32 {
        self.congested
    }

    /// Whether so much is to be done that nothing should be added that nobody waits for.
    pub const fn is_congested(&self) -> bool {
        self.active >= self.congested
    }

    /// Takes a place; `false` if there is none.
    #[must_use]
    pub fn try_start(&mut self) -> bool {
        if self.active < self.max {
            self.active = self.active.saturating_add(1);
            true
        } else {
            false
        }
    }

    /// Gives a place back.
    pub fn finish(&mut self) {
        self.active = self.active.saturating_sub(1);
    }

    /// Requests that hold a place.
    pub const fn active(&self) -> u32 {
        self.active
    }
}

#[cfg(test)]
mod tests {
    use super::Background;

    #[test]
    fn never_more_than_max() {
        let mut bg = Background::new(2, 2);
        assert!(!bg.is_congested());
        assert!(bg.try_start() && bg.try_start() && !bg.try_start());
        assert!(bg.is_congested());
        bg.finish();
        assert!(!bg.is_congested());
        assert!(bg.try_start() && !bg.try_start());
        bg.set_max(0);
        bg.finish();
        bg.finish();
        assert_eq!(bg.active(), 0);
        assert!(!bg.try_start());
        bg.set_max(1);
        assert!(bg.try_start() && !bg.try_start());
    }
}
