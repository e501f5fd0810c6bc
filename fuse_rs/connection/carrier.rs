// SPDX-License-Identifier: GPL-2.0

//! Servers to whom requests are brought.
//!
//! A server with a device file comes and reads. To others a [`Carrier`] brings what is in the queues,
//! and it finishes the requests with what it brings back. As long as it is under way with a request it
//! owns the memory of the reply and of the data, so the request may be ended before it is back.

use super::node::ServerNode;
use super::reply::Reply;
use super::request::Carried;
use super::request::Request;
use super::Connection;
use super::Work;
use crate::prelude::*;
use kernel_glue::list::Queue;

/// The number by which the carrier is known where device files have theirs.
const CARRIER: u64 = 0;

/// A request that is in no queue. Whoever ends the connection waits for who has it.
pub(crate) struct InHand<'a> {
    request: Arc<Request>,
    work: Work<'a>,
}

/// Brings messages to the server.
pub(crate) trait Carrier: Send + Sync {
    /// This is the next request. May sleep, but not for the server.
    fn bring(&self, connection: &Arc<Connection>, request: InHand<'_>);

    /// There are forgets or interrupts. Must not sleep.
    fn fetch_others(&self, connection: &Connection);

    /// The connection has ended, and its server may not answer: if it is under way for the connection, it
    /// breaks off. May sleep, but not for the server.
    fn break_off(&self, connection: &Arc<Connection>);

    /// Nothing is brought any more. With `patience`, waits until it is not under way for the connection;
    /// without, or if the caller is killed, it breaks off.
    fn part(&self, connection: &Arc<Connection>, patience: bool);
}

impl Connection {
    /// Requests are brought to the server from now on.
    pub(crate) fn set_carrier(&self, carrier: Arc<dyn Carrier>) {
        self.carrier.populate(carrier);
    }

    /// Who brings requests to the server, if it does not fetch them itself.
    pub(crate) fn carrier(&self) -> Option<&dyn Carrier> {
        self.carrier.as_ref().map(|carrier| &**carrier)
    }

    /// The next request to be brought.
    pub(crate) fn next_to_carry(&self) -> Option<InHand<'_>> {
        let work = self.work();
        let request = self.queue.lock().next_request()?;
        Some(InHand { request, work })
    }

    /// Has the request brought after those that are queued: the first of all is brought now.
    pub(super) fn submit_to(self: &Arc<Self>, carrier: &dyn Carrier, request: &Arc<Request>) {
        request.trace_send(self);
        let work = self.work();
        let first = self.queue.lock().queue_for_first(request.clone());
        match first {
            Ok(request) => carrier.bring(self, InHand { request, work }),
            Err(error) => self.finish(request, Err(error)),
        }
    }

    /// Forgets to be brought, up to `max`.
    pub(crate) fn forgets_to_carry(&self, max: usize) -> Queue<ServerNode> {
        self.queue.lock().next_forgets(max)
    }

    /// Whether there are forgets to be brought.
    pub(crate) fn has_forgets(&self) -> bool {
        self.queue.lock().has_forgets()
    }

    /// A request whose interruption is to be told.
    pub(crate) fn interrupt_to_carry(&self) -> Option<Arc<Request>> {
        self.queue.lock().next_interrupt()
    }

    /// The interruption could not be told now.
    pub(crate) fn return_interrupt(&self, request: Arc<Request>) {
        if request.is_sent() {
            self.queue.lock().return_interrupt(request);
        }
    }

    /// Takes a request along; nothing if it is over.
    pub(crate) fn carry(self: &Arc<Self>, hand: InHand<'_>) -> Option<(Arc<Request>, Carried)> {
        let InHand { request, work } = hand;
        let carried = request.set_carried(CARRIER)?;
        if !self.remember(&request) {
            return None;
        }
        request.trace_sent(self);
        // It is with those that the server has.
        drop(work);
        Some((request, carried))
    }

    /// A request could not be brought now: it is the next again.
    pub(crate) fn return_carried(self: &Arc<Self>, request: Arc<Request>, carried: Carried) {
        let _work = self.work();
        if !self.in_flight.lock().remove(&request) {
            return;
        }
        if !request.set_not_carried(carried) {
            return;
        }
        let queued = {
            let mut queue = self.queue.lock();
            queue.end().is_none() && queue.return_request(request.clone())
        };
        if !queued {
            self.finish(&request, Err(ECONNABORTED));
        }
    }

    /// The carrier is back with the answer to `request`, or without. Nobody but the carrier has what
    /// the request had of the caller's memory, so that it must have given that up before.
    pub(crate) fn carried_back(self: &Arc<Self>, request: &Arc<Request>, answer: Result<Reply>) {
        let _work = self.work();
        if self.in_flight.lock().remove(request) {
            self.finish(request, answer);
        }
    }
}
