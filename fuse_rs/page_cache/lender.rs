// SPDX-License-Identifier: GPL-2.0

//! Copying late.
//!
//! A copy of a dirty page costs memory and time, and is needed only if the server does not take the
//! page: who waits for pages being written back waits for the server then. So the pages themselves
//! are lent to their WRITE for a while, and copied by a worker only if it is not over by then.

use super::copy::PageCopy;
use crate::prelude::*;
use kernel_glue::list::Queue;
use kernel_glue::sync::periodic::Look;
use kernel_glue::sync::periodic::Periodic;
use kernel_glue::sys::monotonic_nanos;

/// What of a mount's pages is lent.
#[pin_data]
pub(crate) struct Lender {
    /// For how many nanoseconds.
    time: u64,
    /// The oldest comes first.
    #[pin]
    lent: SpinLock<Queue<PageCopy, 1>>,
}

impl Lender {
    /// Lends pages for so many milliseconds, or up to twice as long; not at all for zero.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(millis: u32) -> Result<Option<Pin<KBox<Periodic<Self>>>>> {
        if millis == 0 {
            return Ok(None);
        }
        let lender = pin_init!(Self {
            time: u64::from(millis).saturating_mul(1_000_000),
            lent <- new_spinlock!(Queue::new(), "fuse_rs::Lender::lent"),
        });
        Periodic::new(millis, lender).map(Some)
    }

    /// Pages are lent to `copy`. Followed by a start of the looks.
    pub(super) fn lend(&self, copy: &Arc<PageCopy>) {
        // It is new, so it is in no queue.
        let _ = self.lent.lock().push_back(copy.clone());
    }

    /// They are not any more.
    pub(super) fn end(&self, copy: &PageCopy) {
        let removed = self.lent.lock().remove(copy);
        drop(removed);
    }

    /// The next to whom pages have been lent since before `since`.
    fn next(&self, since: u64) -> Option<Arc<PageCopy>> {
        let mut lent = self.lent.lock();
        if lent.front()?.made() > since {
            return None;
        }
        lent.pop_front()
    }
}

impl Look for Lender {
    fn look(&self) -> bool {
        let since = monotonic_nanos().saturating_sub(self.time);
        while let Some(copy) = self.next(since) {
            if copy.content().give_back().is_err() {
                // Later, when there may be memory. It was just taken out, so it is in no queue.
                let _ = self.lent.lock().push_front(copy);
                break;
            }
        }
        !self.lent.lock().is_empty()
    }
}
