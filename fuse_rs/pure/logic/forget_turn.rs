// SPDX-License-Identifier: GPL-2.0

//! Whose turn it is at the device: a request or forgets.
//!
//! Forgets must not starve requests, which people wait for, nor the other way round, which would
//! let memory grow. When both are there, 8 requests go for every 16 forgets.

/// What a reader of the device should get next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A request.
    Request,
    /// One or more forgets.
    Forgets,
}

/// Remembers who had their turn.
#[derive(Clone, Copy, Debug)]
pub struct ForgetTurn {
    credit: i32,
}

/// Requests in a row while forgets wait.
pub const REQUESTS: i32 = 8;
/// Forgets in a row while requests wait.
pub const FORGETS: i32 = 16;

impl Default for ForgetTurn {
    fn default() -> Self {
        Self::new()
    }
}

impl ForgetTurn {
    /// Forgets go first.
    pub const fn new() -> Self {
        Self { credit: FORGETS }
    }

    /// Decides; `None` if nothing waits.
    pub fn next(&mut self, requests: bool, forgets: bool) -> Option<Turn> {
        match (requests, forgets) {
            (false, false) => None,
            (true, false) => Some(Turn::Request),
            (false, true) => Some(Turn::Forgets),
            (true, true) => {
                if self.credit > 0 {
                    self.credit = self.credit.saturating_sub(1);
                    Some(Turn::Forgets)
                } else {
                    self.credit = self.credit.saturating_sub(1);
                    if self.credit <= -REQUESTS {
                        self.credit = FORGETS;
                    }
                    Some(Turn::Request)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_to_sixteen() {
        let mut turn = ForgetTurn::new();
        for _ in 0..10 {
            for _ in 0..FORGETS {
                assert_eq!(turn.next(true, true), Some(Turn::Forgets));
            }
            for _ in 0..REQUESTS {
                assert_eq!(turn.next(true, true), Some(Turn::Request));
            }
        }
    }

    #[test]
    fn alone_there_is_no_choice() {
        let mut turn = ForgetTurn::new();
        assert_eq!(turn.next(false, false), None);
        assert_eq!(turn.next(true, false), Some(Turn::Request));
        assert_eq!(turn.next(false, true), Some(Turn::Forgets));
    }
}
