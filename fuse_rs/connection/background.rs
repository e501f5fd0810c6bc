// SPDX-License-Identifier: GPL-2.0

//! Requests that nobody sleeps on.

use super::request::Request;
use super::Connection;
use crate::prelude::*;
use fuse_pure::logic::background::Background;
use fuse_pure::logic::negotiate::DEFAULT_CONGESTION_THRESHOLD;
use fuse_pure::logic::negotiate::DEFAULT_MAX_BACKGROUND;
use kernel_glue::list::Queue;

/// Background requests that wait for their turn.
pub(crate) struct BackgroundQueue {
    limit: Background,
    waiting: Queue<Request, 0>,
}

impl BackgroundQueue {
    pub(super) fn new() -> Self {
        Self {
            limit: Background::new(DEFAULT_MAX_BACKGROUND, DEFAULT_CONGESTION_THRESHOLD),
            waiting: Queue::new(),
        }
    }

    /// Takes the limits agreed upon.
    pub(super) fn set_limits(&mut self, max: u16, congested: u16) {
        self.limit.set_max(max);
        self.limit.set_congestion_threshold(congested);
    }

    /// The request that has waited longest.
    pub(super) fn first(&self) -> Option<&Request> {
        self.waiting.front()
    }

    /// Takes a request that waits, whether there is a place for it or not.
    pub(super) fn pop(&mut self) -> Option<Arc<Request>> {
        self.waiting.pop_front()
    }
}

impl Connection {
    /// Most background requests that the server has at a time.
    pub(crate) fn max_background(&self) -> u32 {
        self.background.lock().limit.max()
    }

    /// Changes [`Connection::max_background`].
    pub(crate) fn set_max_background(self: &Arc<Self>, max: u16) {
        self.background.lock().limit.set_max(max);
        self.start_background();
    }

    /// Background requests from which on the server counts as congested.
    pub(crate) fn congestion_threshold(&self) -> u32 {
        self.background.lock().limit.congestion_threshold()
    }

    /// Changes [`Connection::congestion_threshold`].
    pub(crate) fn set_congestion_threshold(&self, requests: u16) {
        self.background
            .lock()
            .limit
            .set_congestion_threshold(requests);
    }

    /// Whether the server has so much to do that nothing should be added that nobody waits for.
    pub(crate) fn is_congested(&self) -> bool {
        self.background.lock().limit.is_congested()
    }

    /// Puts a background request on its way, or lets it wait.
    pub(super) fn enqueue_background(self: &Arc<Self>, request: Arc<Request>) {
        if self.has_ended() {
            self.finish(&request, Err(ENOTCONN));
            return;
        }
        let to_queue = {
            let mut background = self.background.lock();
            if background.waiting.is_empty() && background.limit.try_start() {
                request.take_place();
                Some(request.clone())
            } else {
                let _ = background.waiting.push_back(request.clone());
                None
            }
        };
        match to_queue {
            Some(ready) => self.submit(&ready),
            // The connection may have ended between the two looks at it.
            None if self.has_ended() => {
                let removed = self.background.lock().waiting.remove(&request);
                if removed.is_some() {
                    self.finish(&request, Err(ENOTCONN));
                }
            }
            None => {}
        }
    }

    /// A place has become free: the next may go.
    pub(super) fn finish_background(self: &Arc<Self>) {
        self.background.lock().limit.finish();
        // At the end, requests are not started by each other, but ended by `end`.
        if !self.has_ended() {
            self.start_background();
        }
    }

    /// Queues as many waiting requests as there are places for.
    pub(super) fn start_background(self: &Arc<Self>) {
        loop {
            let next = {
                let mut background = self.background.lock();
                if background.waiting.is_empty() || !background.limit.try_start() {
                    return;
                }
                background.waiting.pop_front()
            };
            let Some(next) = next else {
                return;
            };
            next.take_place();
            // Ends it only when the connection has ended, so this does not come back here.
            self.submit(&next);
        }
    }
}
