// SPDX-License-Identifier: GPL-2.0

//! The barrier between one inode's cached writes and whoever must not run beside them.
//!
//! Copies of dirty pages go to the server as WRITEs whenever they are ready. Who changes the size
//! of the file closes the barrier, waits until no WRITE is with the server, and opens it again:
//! a WRITE on the way could make the file grow back. Who only waits for what has been written
//! closes and opens it in the same way. What becomes ready meanwhile is queued by the caller, who
//! sends it when the barrier is open again, as far as [`clip`] lets it.

use core::ops::Range;

/// The barrier of one inode. Callers keep it, the queue of copies and the size that copies are
/// clipped to under one lock.
#[derive(Debug)]
pub struct Barrier {
    /// WRITEs that are with the server.
    sent: u32,
    /// How often it was closed and not yet opened.
    closers: u32,
}

impl Barrier {
    /// Open, and nothing is with the server.
    pub const fn new() -> Self {
        Self {
            sent: 0,
            closers: 0,
        }
    }

    /// A WRITE is to go to the server. `true`: it counts as sent, and [`Self::finish`] is due when
    /// it is over, in whatever way. `false`: the barrier is closed, and it stays in the queue.
    #[must_use]
    pub fn try_send(&mut self) -> bool {
        if self.is_closed() {
            return false;
        }
        self.sent = self.sent.saturating_add(1);
        true
    }

    /// A WRITE that was sent is over. `true`: it was the last that somebody waits for who has
    /// closed the barrier, and who is to be woken.
    #[must_use]
    pub fn finish(&mut self) -> bool {
        let is_last = self.sent == 1;
        self.sent = self.sent.saturating_sub(1);
        is_last && self.is_closed()
    }

    /// Nothing may be sent any more. What is with the server is waited for until
    /// [`Self::is_drained`].
    ///
    /// What is queued at this moment is not waited for: it goes when the barrier is opened. Who must
    /// know that the server has it closes the barrier a second time.
    ///
    /// Those who close the barrier exclude each other by the inode's lock. If it is closed again
    /// all the same, it stays closed until each of them has opened it.
    pub fn close(&mut self) {
        self.closers = self.closers.saturating_add(1);
    }

    /// Undoes one [`Self::close`], also if the wait was given up. The caller then tries to send
    /// what is queued. Does nothing to an open barrier.
    pub fn open(&mut self) {
        self.closers = self.closers.saturating_sub(1);
    }

    /// Whether nothing may be sent.
    pub const fn is_closed(&self) -> bool {
        self.closers != 0
    }

    /// Whether no WRITE is with the server.
    pub const fn is_drained(&self) -> bool {
        self.sent == 0
    }

    /// WRITEs that are with the server.
    pub const fn sent(&self) -> u32 {
        self.sent
    }
}

impl Default for Barrier {
    fn default() -> Self {
        Self::new()
    }
}

/// How many bytes of a copy of this range of the file may be sent when the file has `size` bytes.
/// None: it lies beyond the end, and is dropped.
pub fn clip(range: Range<u64>, size: u64) -> Option<u64> {
    let end = range.end.min(size);
    end.checked_sub(range.start).filter(|len| *len > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_counted() {
        let mut barrier = Barrier::new();
        assert!(barrier.is_drained() && !barrier.is_closed());
        assert!(barrier.try_send() && barrier.try_send());
        assert_eq!(barrier.sent(), 2);
        assert!(!barrier.is_drained());
        // Nobody waits.
        assert!(!barrier.finish() && !barrier.finish());
        assert!(barrier.is_drained());
    }

    #[test]
    fn nothing_is_sent_while_it_is_closed() {
        let mut barrier = Barrier::new();
        assert!(barrier.try_send());
        barrier.close();
        assert!(!barrier.try_send());
        assert_eq!(barrier.sent(), 1);
        assert!(barrier.finish());
        assert!(!barrier.try_send());
        assert!(barrier.is_drained());
        barrier.open();
        assert!(barrier.try_send());
    }

    #[test]
    fn the_last_one_wakes_who_waits() {
        let mut barrier = Barrier::new();
        assert!(barrier.try_send() && barrier.try_send() && barrier.try_send());
        assert!(!barrier.finish());
        barrier.close();
        assert!(!barrier.finish());
        assert!(barrier.finish());
    }

    #[test]
    fn who_closes_it_with_nothing_on_the_way_need_not_wait() {
        let mut barrier = Barrier::new();
        barrier.close();
        assert!(barrier.is_drained());
    }

    #[test]
    fn a_wait_that_is_given_up_leaves_the_rest_on_the_way() {
        let mut barrier = Barrier::new();
        assert!(barrier.try_send());
        barrier.close();
        barrier.open();
        assert!(barrier.try_send());
        assert_eq!(barrier.sent(), 2);
        assert!(!barrier.finish());
    }

    #[test]
    fn closed_twice_it_is_opened_twice() {
        let mut barrier = Barrier::new();
        barrier.close();
        barrier.close();
        barrier.open();
        assert!(!barrier.try_send());
        barrier.open();
        assert!(barrier.try_send());
    }

    #[test]
    fn calls_too_many_do_nothing() {
        let mut barrier = Barrier::new();
        barrier.open();
        barrier.close();
        assert!(barrier.is_closed());
        assert!(!barrier.finish());
        assert_eq!(barrier.sent(), 0);
    }

    #[test]
    fn a_copy_is_clipped_to_the_size() {
        assert_eq!(clip(10..20, 100), Some(10));
        assert_eq!(clip(10..20, 20), Some(10));
        assert_eq!(clip(10..20, 19), Some(9));
        assert_eq!(clip(10..20, 11), Some(1));
        assert_eq!(clip(10..20, 10), None);
        assert_eq!(clip(10..20, 0), None);
        assert_eq!(clip(0..u64::MAX, u64::MAX), Some(u64::MAX));
    }

    #[test]
    fn of_an_empty_range_nothing_is_sent() {
        assert_eq!(clip(10..10, 100), None);
        let (start, end) = (20, 10);
        assert_eq!(clip(start..end, 100), None);
    }
}
