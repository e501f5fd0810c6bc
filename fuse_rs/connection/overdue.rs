// SPDX-License-Identifier: GPL-2.0

//! Requests that are not answered in time.
//!
//! As with the C driver, a server may have itself watched, and an administrator may have all
//! servers watched: a connection in which a request is overdue is ended.

use super::request::Request;
use super::Connection;
use super::End;
use crate::prelude::*;
use kernel_glue::sync::periodic::Look;
use kernel_glue::sync::periodic::Periodic;
use kernel_glue::sys::monotonic_nanos;

/// How often a request is looked for that is overdue, in its time.
const LOOKS: u32 = 15;

/// Looks after a connection.
pub(crate) struct Watch {
    connection: Arc<Connection>,
    /// Nanoseconds a server has for a request.
    timeout: u64,
}

impl Watch {
    /// Ends `connection` when a request is not answered within so many seconds, which are at least
    /// [`fuse_pure::logic::negotiate::MIN_REQUEST_TIMEOUT`], or soon after that.
    pub(crate) fn start(
        connection: &Arc<Connection>,
        seconds: u32,
    ) -> Result<Pin<KBox<Periodic<Self>>>> {
        let watch = Self {
            connection: connection.clone(),
            timeout: u64::from(seconds).saturating_mul(1_000_000_000),
        };
        Periodic::started((seconds / LOOKS).max(1).saturating_mul(1000), watch)
    }
}

impl Look for Watch {
    fn look(&self) -> bool {
        if self.connection.has_ended() {
            return false;
        }
        let since = monotonic_nanos().saturating_sub(self.timeout);
        let overdue = self.connection.waiting() > 0 && self.connection.has_older(since);
        if overdue {
            warn_ratelimited!("a request is overdue: the connection is ended\n");
            self.connection.break_off(End::Aborted);
        }
        !overdue
    }
}

impl Connection {
    /// Whether a request was made before `since`, see [`monotonic_nanos`].
    ///
    /// Only the first of each queue is looked at: requests come there in the order in which they
    /// were made, or nearly so.
    fn has_older(&self, since: u64) -> bool {
        let older = |first: Option<&Request>| first.is_some_and(|first| first.made < since);
        // One lock at a time.
        let pending = older(self.queue.lock().first_pending());
        let waiting = older(self.background.lock().first());
        let sent = self
            .in_flight
            .lock()
            .firsts()
            .any(|first| older(Some(first)));
        pending || waiting || sent
    }
}
