// SPDX-License-Identifier: GPL-2.0

//! Where requests wait for the server, and where they are remembered while it has them.

use super::node::ServerNode;
use super::request::Request;
use super::Connection;
use super::End;
use crate::prelude::*;
use fuse_pure::abi::ids::Unique;
use fuse_pure::logic::forget_turn::ForgetTurn;
use fuse_pure::logic::forget_turn::Turn;
use kernel_glue::list::Queue;

/// Everything on its way to the server.
pub(crate) struct InputQueue {
    end: Option<End>,
    pending: Queue<Request, 0>,
    interrupts: Queue<Request, 1>,
    forgets: Queue<ServerNode>,
    turn: ForgetTurn,
}

/// What a reader of the device gets.
pub(crate) enum Deliverable {
    /// A request.
    Request(Arc<Request>),
    /// Notice that a request was interrupted.
    Interrupt(Unique),
    /// Lookups given back; at least one.
    Forgets(Queue<ServerNode>),
}

impl InputQueue {
    pub(super) fn new() -> Self {
        Self {
            end: None,
            pending: Queue::new(),
            interrupts: Queue::new(),
            forgets: Queue::new(),
            turn: ForgetTurn::new(),
        }
    }

    /// Why nothing is taken any more.
    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }

    /// Whether there is nothing to read.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.interrupts.is_empty() && self.forgets.is_empty()
    }

    pub(super) fn disconnect(&mut self, how: End) -> bool {
        if self.end.is_some() {
            return false;
        }
        self.end = Some(how);
        true
    }

    pub(super) fn take_forgets(&mut self) -> Queue<ServerNode> {
        core::mem::take(&mut self.forgets)
    }

    /// Queues `last`, and takes the first.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` when the connection has ended.
    pub(super) fn queue_for_first(&mut self, last: Arc<Request>) -> Result<Arc<Request>> {
        if self.end.is_some() {
            return Err(ENOTCONN);
        }
        if self.pending.is_empty() {
            return Ok(last);
        }
        self.pending.push_back(last).map_err(|_| EBUSY)?;
        self.next_request().ok_or(EBUSY)
    }

    /// The request that was queued first.
    pub(super) fn first_pending(&self) -> Option<&Request> {
        self.pending.front()
    }

    /// Takes the next request.
    pub(super) fn next_request(&mut self) -> Option<Arc<Request>> {
        self.pending.pop_front()
    }

    /// A request that was just taken is the next again; `false` if it is queued elsewhere.
    pub(super) fn return_request(&mut self, request: Arc<Request>) -> bool {
        self.pending.push_front(request).is_ok()
    }

    /// Takes the next request whose interruption the server is to be told.
    pub(super) fn next_interrupt(&mut self) -> Option<Arc<Request>> {
        self.interrupts.pop_front()
    }

    /// It is the next again.
    pub(super) fn return_interrupt(&mut self, request: Arc<Request>) {
        // If it was queued again meanwhile, that will do.
        let _ = self.interrupts.push_front(request);
    }

    /// Whether there are forgets.
    pub(super) fn has_forgets(&self) -> bool {
        !self.forgets.is_empty()
    }

    /// Takes up to `max` forgets.
    pub(super) fn next_forgets(&mut self, max: usize) -> Queue<ServerNode> {
        let mut batch = Queue::new();
        for _ in 0..max {
            let Some(node) = self.forgets.pop_front() else {
                break;
            };
            // Just taken out of its queue, so it is in none.
            let _ = batch.push_back(node);
        }
        batch
    }

    /// Takes what comes next, and up to `max_forgets` forgets at a time.
    pub(crate) fn next(&mut self, max_forgets: usize) -> Option<Deliverable> {
        if let Some(request) = self.interrupts.pop_front() {
            return Some(Deliverable::Interrupt(request.id_there()));
        }
        match self
            .turn
            .next(!self.pending.is_empty(), !self.forgets.is_empty())?
        {
            Turn::Request => self.next_request().map(Deliverable::Request),
            Turn::Forgets => Some(Deliverable::Forgets(self.next_forgets(max_forgets.max(1)))),
        }
    }
}

const BUCKETS: usize = 64;

/// Requests that the server has, by their unique id.
pub(crate) struct InFlight {
    buckets: [Queue<Request, 0>; BUCKETS],
}

impl InFlight {
    pub(super) fn new() -> Self {
        Self {
            buckets: core::array::from_fn(|_| Queue::new()),
        }
    }

    fn bucket(&mut self, unique: Unique) -> Option<&mut Queue<Request, 0>> {
        let hash = (unique.get() / Unique::STEP) as usize % BUCKETS;
        self.buckets.get_mut(hash)
    }

    /// Remembers `request`.
    pub(crate) fn insert(&mut self, request: Arc<Request>) {
        if let Some(bucket) = self.bucket(request.unique) {
            // A request is in one queue at a time: it was just taken out of the pending one.
            let _ = bucket.push_back(request);
        }
    }

    /// Takes the request with this id that `device` has.
    pub(crate) fn take(&mut self, unique: Unique, device: u64) -> Option<Arc<Request>> {
        let bucket = self.bucket(unique)?;
        let request = bucket.find(|r| r.unique == unique && r.is_with(device))?;
        bucket.remove(&request)
    }

    /// The request with this id that `device` has.
    pub(crate) fn find(&mut self, unique: Unique, device: u64) -> Option<Arc<Request>> {
        self.bucket(unique)?
            .find(|r| r.unique == unique && r.is_with(device))
    }

    /// Forgets about `request`.
    pub(crate) fn remove(&mut self, request: &Request) -> bool {
        self.bucket(request.unique)
            .is_some_and(|bucket| bucket.remove(request).is_some())
    }

    /// Of each part of the table the request that came there first.
    pub(super) fn firsts(&self) -> impl Iterator<Item = &Request> {
        self.buckets.iter().filter_map(Queue::front)
    }

    pub(super) fn take_of_device(&mut self, device: u64) -> Option<Arc<Request>> {
        for bucket in &mut self.buckets {
            if let Some(request) = bucket.find(|r| r.is_with(device)) {
                return bucket.remove(&request);
            }
        }
        None
    }

    /// Takes the latest of the requests before `limit`.
    fn take_latest(&mut self, limit: Unique) -> Option<Arc<Request>> {
        let latest = self
            .buckets
            .iter()
            .filter_map(|bucket| bucket.rfind(|request| request.unique < limit))
            .max_by_key(|request| request.unique)?;
        self.bucket(latest.unique)?.remove(&latest)
    }

    pub(super) fn take_any(&mut self) -> Option<Arc<Request>> {
        self.buckets.iter_mut().find_map(Queue::pop_front)
    }
}

impl Connection {
    /// Puts a request on its way, or ends it if the connection has ended.
    pub(super) fn submit(self: &Arc<Self>, request: &Arc<Request>) {
        if let Some(carrier) = self.carrier() {
            return self.submit_to(carrier, request);
        }
        match self.enqueue(request.clone()) {
            Ok(()) => self.wake_reader(),
            Err(error) => self.finish(request, Err(error)),
        }
    }

    /// As [`Connection::submit`], by who is about to wait for the answer.
    pub(super) fn submit_before_sleep(self: &Arc<Self>, request: &Arc<Request>) {
        if let Some(carrier) = self.carrier() {
            return self.submit_to(carrier, request);
        }
        match self.enqueue(request.clone()) {
            Ok(()) => self.wake_reader_before_sleep(),
            Err(error) => self.finish(request, Err(error)),
        }
    }

    /// The server has `request`; false if the connection has ended, and the request with it.
    pub(crate) fn remember(self: &Arc<Self>, request: &Arc<Request>) -> bool {
        self.in_flight.lock().insert(request.clone());
        // Who ends the connection may have looked before that.
        let left_over = self.has_ended() && self.in_flight.lock().remove(request);
        if left_over {
            self.finish(request, Err(ECONNABORTED));
        }
        !left_over
    }

    /// Ends all requests that `take` brings.
    pub(super) fn abort_each(self: &Arc<Self>, take: impl Fn() -> Option<Arc<Request>>) {
        while let Some(request) = take() {
            self.finish(&request, Err(ECONNABORTED));
        }
    }

    /// Puts a request on its way; somebody is to be woken to read it.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` when the connection has ended.
    fn enqueue(&self, request: Arc<Request>) -> Result {
        // As soon as it is in the queue it may be over.
        request.trace_send(self);
        let mut queue = self.queue.lock();
        if queue.end.is_some() {
            return Err(ENOTCONN);
        }
        if queue.pending.push_back(request).is_err() {
            return Err(EBUSY);
        }
        Ok(())
    }

    /// Puts the requests that the server has on their way again, before those it has not had yet.
    pub(super) fn resend(self: &Arc<Self>) {
        // Requests made from now on need not be sent again, even if they are with the server soon.
        let limit = self.unique();
        let mut latest_first = Queue::<Request, 0>::new();
        loop {
            let latest = self.in_flight.lock().take_latest(limit);
            let Some(request) = latest else {
                break;
            };
            // Just taken out of its queue, so it is in none.
            let _ = latest_first.push_back(request);
        }
        while let Some(request) = latest_first.pop_front() {
            if !request.set_unsent() {
                continue;
            }
            self.drop_interrupt(&request);
            let queued = {
                let mut queue = self.queue.lock();
                queue.end.is_none() && queue.pending.push_front(request.clone()).is_ok()
            };
            if queued {
                // Who asks for this has a device file.
                self.wake_reader();
            } else {
                self.finish(&request, Err(ECONNABORTED));
            }
        }
    }

    /// Takes a request back that the server has not read yet.
    pub(super) fn take_back(&self, request: &Request) -> bool {
        self.queue.lock().pending.remove(request).is_some()
    }

    /// Tells the server that a request it has is interrupted.
    pub(crate) fn queue_interrupt(&self, request: &Arc<Request>) {
        let mut queue = self.queue.lock();
        if queue.end.is_some() || !request.is_sent() {
            return;
        }
        if queue.interrupts.push_back(request.clone()).is_ok() {
            drop(queue);
            self.other_is_queued();
        }
    }

    /// A request is over: its interrupt is moot.
    pub(super) fn drop_interrupt(&self, request: &Request) {
        use kernel_glue::list::Linked;
        if Linked::<1>::link(request).is_queued() {
            let removed = self.queue.lock().interrupts.remove(request);
            drop(removed);
        }
    }

    /// Gives lookups back. Does not sleep.
    pub(super) fn queue_forget(&self, node: Arc<ServerNode>) {
        let mut queue = self.queue.lock();
        if queue.end.is_some() {
            return;
        }
        if queue.forgets.push_back(node).is_ok() {
            drop(queue);
            self.other_is_queued();
        }
    }
}
