// SPDX-License-Identifier: GPL-2.0

//! What of one file is on its way to the server.
//!
//! For mm, a page whose bytes have been copied is clean and may go, be changed or come back. So
//! here is known which bytes are still to be stored by the server: whoever wants to make such a
//! page dirty again, to read it from the server or to write it in another way waits until they are.
//! Nobody waits with a folio locked.

use super::copy::CopyNode;
use super::copy::PageCopy;
use crate::connection::opened::ServerOpen;
use crate::filesystem::kept;
use crate::filesystem::Inode;
use crate::prelude::*;
use core::ops::Range;
use fuse_pure::logic::barrier::clip;
use fuse_pure::logic::barrier::Barrier;
use fuse_pure::logic::interval_tree::Tree;
use kernel_glue::list::Queue;
use kernel_glue::mem::pages::PAGE_SIZE;
use kernel_glue::sync::wait::WaitQueue;

const PAGE: u64 = PAGE_SIZE as u64;

/// What of a file is on its way to the server.
#[pin_data]
pub(crate) struct InFlight {
    /// Copies in the index, and what is being written through, to be looked at without the lock.
    busy: Atomic<usize>,
    /// The file has been mapped such that it can be stored to.
    mapped: Atomic<bool>,
    #[pin]
    state: SpinLock<State>,
    /// Woken when a barrier is drained, and when a write through is over.
    #[pin]
    wait: WaitQueue,
}

struct State {
    barrier: Barrier,
    /// Copies that are queued or sent, by the pages they are of.
    index: Tree<Arc<PageCopy>, CopyNode>,
    /// Copies that wait for the barrier.
    queued: Queue<PageCopy, 0>,
    /// What is being written through: by one at a time, who has locked the inode.
    through: Option<Range<u64>>,
    /// Open files by which dirty pages can be written.
    writers: Queue<ServerOpen>,
}

impl State {
    fn is_written_through(&self, range: &Range<u64>) -> bool {
        self.through
            .as_ref()
            .is_some_and(|through| through.start < range.end && range.start < through.end)
    }

    fn overlapping(&self, range: &Range<u64>) -> Option<&Arc<PageCopy>> {
        self.index
            .first_overlap(range.clone())
            .map(|(_, copy)| copy)
    }
}

/// The whole pages of a range of bytes.
pub(super) fn pages_of(range: Range<u64>) -> Range<u64> {
    let end = range.end.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX);
    range.start / PAGE * PAGE..end
}

impl InFlight {
    /// Nothing.
    pub(crate) fn new() -> impl PinInit<Self> {
        let state = State {
            barrier: Barrier::new(),
            index: Tree::new(),
            queued: Queue::new(),
            through: None,
            writers: Queue::new(),
        };
        pin_init!(Self {
            busy: Atomic::new(0),
            mapped: Atomic::new(false),
            state <- new_spinlock!(state, "fuse_rs::InFlight::state"),
            wait <- new_wait_queue!("fuse_rs::InFlight::wait"),
        })
    }

    /// Whether nothing of the file is on its way, as far as is known.
    pub(super) fn is_idle(&self) -> bool {
        self.busy.load(Acquire) == 0
    }

    fn note(&self, state: &State) {
        let through = usize::from(state.through.is_some());
        let busy = state.index.len().saturating_add(through);
        self.busy.store(busy, Release);
    }

    /// Whether some of the pages of `range` are on their way.
    pub(super) fn has(&self, range: Range<u64>) -> bool {
        !self.is_idle() && self.state.lock().overlapping(&pages_of(range)).is_some()
    }

    /// Waits until none of the pages of `range` is on its way.
    ///
    /// # Errors
    ///
    /// `EINTR` when the caller is killed.
    pub(crate) fn wait(&self, range: Range<u64>) -> Result {
        let range = pages_of(range);
        while !self.is_idle() {
            let copy = self.state.lock().overlapping(&range).cloned();
            match copy {
                Some(copy) => copy.wait()?,
                None => break,
            }
        }
        Ok(())
    }

    /// Has pages of `range` copied that are lent to WRITEs: they are about to change.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn give_back(&self, range: Range<u64>) -> Result {
        let mut rest = pages_of(range);
        while !self.is_idle() {
            let Some(copy) = self.state.lock().overlapping(&rest).cloned() else {
                break;
            };
            copy.content().give_back()?;
            rest.start = pages_of(copy.bytes()).end;
        }
        Ok(())
    }

    /// Whether the pages of `range`, of which the folio is locked, may become dirty.
    pub(super) fn may_dirty(&self, range: Range<u64>) -> bool {
        if self.is_idle() {
            // Copies are made, and written through is, after the folio has been locked.
            return true;
        }
        let state = self.state.lock();
        let range = pages_of(range);
        !state.is_written_through(&range) && state.overlapping(&range).is_none()
    }

    /// Waits until that may be so.
    ///
    /// # Errors
    ///
    /// `EINTR` when the caller is killed.
    pub(super) fn wait_to_dirty(&self, range: Range<u64>) -> Result {
        let pages = pages_of(range.clone());
        self.wait
            .wait(Signals::Killable, Wake::Shared, || {
                !self.state.lock().is_written_through(&pages)
            })
            .map_err(|_| EINTR)?;
        self.wait(range)
    }

    fn set_through(&self, range: Option<Range<u64>>) {
        let mut state = self.state.lock();
        state.through = range;
        self.note(&state);
    }

    /// The file is mapped such that it can be stored to from now on; whether that is new.
    pub(super) fn set_mapped(&self) -> bool {
        !self.is_mapped() && !self.mapped.xchg(true, Full)
    }

    /// Whether it has been since the inode is known.
    pub(crate) fn is_mapped(&self) -> bool {
        self.mapped.load(Acquire)
    }

    /// Dirty pages can be written by this open file.
    pub(super) fn add_writer(&self, open: &Arc<ServerOpen>) {
        if !open.is_queued() {
            // Given back if somebody else was faster.
            let _ = self.state.lock().writers.push_back(open.clone());
        }
    }

    /// They no longer can.
    pub(crate) fn remove_writer(&self, open: &ServerOpen) {
        let removed = self.state.lock().writers.remove(open);
        drop(removed);
    }

    /// An open file by which dirty pages can be written.
    pub(crate) fn writer(&self) -> Option<Arc<ServerOpen>> {
        self.state.lock().writers.find(|_| true)
    }

    /// Takes a copy in, to be sent by [`send_queued`].
    pub(super) fn queue(&self, copy: &Arc<PageCopy>, node: CopyNode) {
        let mut state = self.state.lock();
        state.index.insert(node);
        self.note(&state);
        // It is new, so it is in no queue.
        let _ = state.queued.push_back(copy.clone());
    }

    /// Whether copies are kept back, see [`stop_writes`].
    pub(super) fn is_stopped(&self) -> bool {
        self.state.lock().barrier.is_closed()
    }

    /// The next copy that may be sent, which then counts as sent.
    fn next_to_send(&self) -> Option<Arc<PageCopy>> {
        let mut state = self.state.lock();
        if state.queued.is_empty() || !state.barrier.try_send() {
            return None;
        }
        let copy = state.queued.pop_front()?;
        copy.set_sent();
        Some(copy)
    }

    /// Counts a change of times as a copy that is sent; false if the barrier is closed.
    pub(crate) fn try_send_times(&self) -> bool {
        self.state.lock().barrier.try_send()
    }

    /// The server has made it, or never will.
    pub(crate) fn finish_times(&self) {
        if self.state.lock().barrier.finish() {
            self.wait.wake_all();
        }
    }

    /// The server has stored a copy, or never will.
    pub(super) fn finish(&self, copy: &PageCopy) {
        let (removed, drained) = {
            let mut state = self.state.lock();
            let removed = state.index.remove(copy.start(), copy.id());
            self.note(&state);
            (removed, copy.is_sent() && state.barrier.finish())
        };
        drop(removed);
        if drained {
            self.wait.wake_all();
        }
    }
}

/// Sends what is queued, unless the barrier is closed. Does not wait for the server.
pub(super) fn send_queued(inode: &Inode) {
    while let Some(copy) = inode.data().in_flight.next_to_send() {
        let len = clip(copy.bytes(), inode.size());
        copy.send(len);
    }
}

/// As long as the value lives, no copies are with the server: they are queued.
pub(crate) struct NoWrites<'a>(&'a Inode);

/// Waits until the server has all copies that were sent, and keeps further ones back. The caller
/// has locked the inode.
///
/// # Errors
///
/// `EINTR` when the caller is killed.
pub(crate) fn stop_writes(inode: &Inode) -> Result<NoWrites<'_>> {
    let this = &inode.data().in_flight;
    let drained = {
        let mut state = this.state.lock();
        state.barrier.close();
        state.barrier.is_drained()
    };
    let stopped = NoWrites(inode);
    if !drained {
        this.wait
            .wait(Signals::Killable, Wake::Shared, || {
                this.state.lock().barrier.is_drained()
            })
            .map_err(|_| EINTR)?;
    }
    Ok(stopped)
}

impl Drop for NoWrites<'_> {
    fn drop(&mut self) {
        self.0.data().in_flight.state.lock().barrier.open();
        send_queued(self.0);
    }
}

/// As long as the value lives, no page of a range becomes dirty by stores to mappings, and none is
/// on its way.
pub(super) struct Through<'a>(&'a Inode);

/// Prepares for writing a range through.
///
/// # Errors
///
/// `EINTR` when the caller is killed, and those of writing dirty pages back.
pub(super) fn write_through(inode: &Inode, range: Range<u64>) -> Result<Through<'_>> {
    let this = &inode.data().in_flight;
    let range = pages_of(range);
    this.set_through(Some(range.clone()));
    let through = Through(inode);
    if this.is_mapped() || kept::keeps(inode) {
        // Who has seen nothing written through makes its page dirty before it unlocks it.
        inode
            .wait_for_folios(range.start, range.end)
            .map_err(|_| EINTR)?;
        if inode.has_dirty_pages() {
            inode.write_dirty_pages(range.start, range.end)?;
        }
    }
    this.wait(range)?;
    Ok(through)
}

impl Drop for Through<'_> {
    fn drop(&mut self) {
        let this = &self.0.data().in_flight;
        this.set_through(None);
        if this.is_mapped() {
            this.wait.wake_all();
        }
    }
}
