// SPDX-License-Identifier: GPL-2.0

//! What a mount and its server share: requests, and the way they take.
//!
//! A [`Connection`] is shared by the super block, its open files and the server's device files.
//! It knows no inodes: who wants an answer waits for it, or leaves a [`Completion`], which may keep
//! an inode until its request is over. Who wants to be told what the server tells by itself is its
//! [`Audience`], until the mount is shut down.
//!
//! # Lock order
//!
//! From the outside in:
//!
//! 1. The VFS's locks: `s_umount`, the lock of a directory, that of a file (`i_rwsem`), then folio
//!    locks. The server may be waited for under all of them. Folio locks are held by READs; by
//!    tasks only while they read ahead and the server takes one READ at a time. They are waited
//!    for killably.
//! 2. The turn at a directory, [`Connection::wait_turn`]. The server is waited for under it.
//! 3. `Control::entries`, a mutex. Memory may be allocated under it, and inodes evicted for that.
//! 4. `Content::state`, a mutex, under which dirty pages are copied.
//! 5. `Connection::queue`, `Connection::in_flight` and `Connection::background`, spinlocks of
//!    which at most one is held at a time.
//! 6. `Request::state`, a spinlock that nests inside any of these three.
//!
//! `InodeData::state`, `Expiry::ring`, `Supers::members` and `Connection::listener` are spinlocks that
//! nest with none.
//! Wait queues synchronise themselves; their conditions may take spinlocks, so nobody is woken
//! while one is held, nor is anything dropped that could sleep. All spinlocks are taken in process
//! context.
//!
//! [`Audience`]: notify::Audience
//! [`Completion`]: request::Completion

pub(crate) mod background;
pub(crate) mod call;
pub(crate) mod carrier;
mod giving;
pub(crate) mod init;
pub(crate) mod lock;
pub(crate) mod node;
pub(crate) mod notify;
pub(crate) mod opened;
pub(crate) mod overdue;
pub(crate) mod payload;
pub(crate) mod post;
pub(crate) mod queue;
pub(crate) mod reply;
pub(crate) mod request;
mod trace;

use crate::prelude::*;
use background::BackgroundQueue;
use fuse_pure::abi::ids::Opcode;
use fuse_pure::abi::ids::Unique;
use fuse_pure::abi::init::InitFlags;
use fuse_pure::logic::attr_version::AttrVersion;
use fuse_pure::logic::belief::Belief;
use fuse_pure::logic::belief::Epoch;
use fuse_pure::logic::negotiate::Negotiated;
use fuse_pure::logic::scramble;
use fuse_pure::logic::sticky;
use fuse_pure::op::Timeout;
use kernel::sync::SetOnce;
use kernel_glue::dev::fasync::FasyncList;
use kernel_glue::sync::wait::WaitQueue;
use kernel_glue::sys::monotonic_nanos;
use kernel_glue::sys::random_u64;
use kernel_glue::vfs::caller::ProcessNamespace;
use kernel_glue::vfs::caller::UserNamespace;
use queue::InFlight;
use queue::InputQueue;

/// Why a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The file system was unmounted, if need be by force.
    Unmounted,
    /// Somebody gave up: the server closed its device, an administrator, the handshake failed.
    Aborted,
}

/// The right to ask about a directory, see [`Connection::wait_turn`].
pub(crate) struct Turn<'a> {
    connection: &'a Connection,
    busy: &'a Atomic<bool>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.busy.store(false, Release);
        self.connection.turn_wait.wake_all();
    }
}

/// Somebody has requests that are in no queue.
pub(crate) struct Work<'a>(&'a Connection);

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if self.0.workers.fetch_sub(1, Full) == 1 && self.0.has_ended() {
            self.0.workers_wait.wake_all();
        }
    }
}

/// The connection between a mount and its server.
#[pin_data]
pub(crate) struct Connection {
    /// Requests, forgets and interrupts on their way to the server.
    #[pin]
    pub(crate) queue: SpinLock<InputQueue>,
    /// Requests the server has taken and not answered.
    #[pin]
    pub(crate) in_flight: SpinLock<InFlight>,
    /// Requests that wait for their turn to be queued.
    #[pin]
    pub(crate) background: SpinLock<BackgroundQueue>,
    /// Woken when the server can take something, and when the connection ends.
    #[pin]
    pub(crate) readable: WaitQueue,
    /// Woken when the handshake is over.
    #[pin]
    ready_wait: WaitQueue,
    /// Woken when a directory of a server that does not take parallel requests is free again.
    #[pin]
    turn_wait: WaitQueue,
    /// Signalled as `readable`.
    pub(crate) fasync: FasyncList,
    /// Who is told what the server tells without being asked.
    #[pin]
    listener: SpinLock<Option<Arc<notify::Listener>>>,
    terms: SetOnce<Negotiated>,
    carrier: SetOnce<Arc<dyn carrier::Carrier>>,
    ended: Atomic<bool>,
    /// The handshake has failed.
    refused: Atomic<bool>,
    /// Device number of the mount, once there is one.
    pub(crate) number: SetOnce<u32>,
    next_unique: Atomic<u64>,
    attr_version: Atomic<u64>,
    /// What `attr_version` was at the latest eviction of an inode.
    evicted_at: Atomic<u64>,
    /// The number of the epoch.
    epoch: Atomic<u64>,
    /// What `attr_version` was when the epoch began.
    epoch_at: Atomic<u64>,
    missing: Atomic<u64>,
    owner_key: [u32; 4],
    devices: Atomic<u32>,
    waiting: Atomic<u64>,
    /// Pages of copies of dirty pages.
    temporary_pages: Atomic<u64>,
    /// Those who have taken a request out of all queues and will end it soon.
    workers: Atomic<u64>,
    #[pin]
    workers_wait: WaitQueue,
    /// Identities in requests are those of this namespace.
    pub(crate) user_ns: UserNamespace,
    /// Process ids in requests are those of this namespace.
    pub(crate) process_ns: ProcessNamespace,
}

impl Connection {
    /// A connection nobody uses yet.
    pub(crate) fn new(user_ns: UserNamespace) -> Result<Arc<Self>> {
        let process_ns = ProcessNamespace::current()?;
        Arc::pin_init(
            pin_init!(Self {
                queue <- new_spinlock!(InputQueue::new(), "fuse_rs::Connection::queue"),
                in_flight <- new_spinlock!(InFlight::new(), "fuse_rs::Connection::in_flight"),
                background <- new_spinlock!(
                    BackgroundQueue::new(),
                    "fuse_rs::Connection::background"
                ),
                readable <- new_wait_queue!("fuse_rs::Connection::readable"),
                ready_wait <- new_wait_queue!("fuse_rs::Connection::ready_wait"),
                turn_wait <- new_wait_queue!("fuse_rs::Connection::turn_wait"),
                fasync: FasyncList::new(),
                listener <- new_spinlock!(None, "fuse_rs::Connection::listener"),
                terms: SetOnce::new(),
                carrier: SetOnce::new(),
                ended: Atomic::new(false),
                refused: Atomic::new(false),
                number: SetOnce::new(),
                next_unique: Atomic::new(1),
                attr_version: Atomic::new(1),
                evicted_at: Atomic::new(0),
                epoch: Atomic::new(0),
                epoch_at: Atomic::new(0),
                missing: Atomic::new(0),
                owner_key: [
                    random_u64() as u32,
                    random_u64() as u32,
                    random_u64() as u32,
                    random_u64() as u32,
                ],
                devices: Atomic::new(0),
                waiting: Atomic::new(0),
                temporary_pages: Atomic::new(0),
                workers: Atomic::new(0),
                workers_wait <- new_wait_queue!("fuse_rs::Connection::workers_wait"),
                user_ns,
                process_ns,
            }),
            GFP_KERNEL,
        )
    }

    /// The terms of the connection, once the handshake is over.
    pub(crate) fn terms(&self) -> Option<&Negotiated> {
        self.terms.as_ref()
    }

    /// Whether both sides know a feature.
    pub(crate) fn has(&self, feature: InitFlags) -> bool {
        self.terms()
            .is_some_and(|terms| terms.features.contains(feature))
    }

    /// Whether the connection has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Acquire)
    }

    /// Waits until the handshake is over, and returns its terms.
    ///
    /// # Errors
    ///
    /// `EINTR` when the caller is killed; `ENOTCONN` when the connection ends first or has ended,
    /// `ECONNREFUSED` when the handshake has failed before.
    pub(crate) fn wait_ready(&self) -> Result<&Negotiated> {
        if let (Some(terms), false) = (self.terms(), self.has_ended()) {
            return Ok(terms);
        }
        let settled = || self.terms().is_some() || self.has_ended();
        if !settled() {
            self.waiting.fetch_add(1, Relaxed);
            let waited = self
                .ready_wait
                .wait(Signals::Killable, Wake::Shared, settled);
            self.waiting.fetch_sub(1, Relaxed);
            waited.map_err(|_| EINTR)?;
        } else if self.refused.load(Acquire) {
            return Err(ECONNREFUSED);
        }
        match self.terms() {
            Some(terms) if !self.has_ended() => Ok(terms),
            _ => Err(ENOTCONN),
        }
    }

    /// The handshake has failed.
    fn refuse(self: &Arc<Self>) {
        self.refused.store(true, Release);
        self.end(End::Aborted);
    }

    fn set_terms(&self, terms: Negotiated) {
        self.terms.populate(terms);
        self.ready_wait.wake_all();
    }

    fn unique(&self) -> Unique {
        Unique::nth(self.next_unique.fetch_add(1, Relaxed))
    }

    /// The number by which the server knows a lock owner: the kernel's address of it, scrambled
    /// so that it tells nothing.
    pub(crate) fn lock_owner(&self, owner: usize) -> u64 {
        scramble::xtea(self.owner_key, owner as u64)
    }

    /// A unique id for a message that is not answered.
    pub(crate) fn message_unique(&self) -> Unique {
        self.unique()
    }

    /// Whether the server has said that it does not have `op`.
    pub(crate) fn lacks(&self, op: Opcode) -> bool {
        sticky::bit(op).is_some_and(|bit| self.missing.load(Relaxed) & bit != 0)
    }

    /// Remembers that the server does not have `op`.
    pub(crate) fn set_lacks(&self, op: Opcode) {
        let Some(bit) = sticky::bit(op) else {
            return;
        };
        let mut seen = self.missing.load(Relaxed);
        while let Err(now) = self.missing.cmpxchg(seen, seen | bit, Relaxed) {
            seen = now;
        }
    }

    /// The version of attributes that a request made now may bring.
    pub(crate) fn attr_version(&self) -> AttrVersion {
        AttrVersion(self.attr_version.load(Relaxed))
    }

    /// The version of attributes that are newer than any requested before.
    pub(crate) fn next_attr_version(&self) -> AttrVersion {
        AttrVersion(self.attr_version.fetch_add(1, Relaxed).wrapping_add(1))
    }

    /// Waits until `busy`, the state of a directory, is not set, and sets it, for servers that do
    /// not take parallel LOOKUPs and READDIRs of a directory.
    ///
    /// # Errors
    ///
    /// `EINTR` when the caller is killed.
    pub(crate) fn wait_turn<'a>(&'a self, busy: &'a Atomic<bool>) -> Result<Option<Turn<'a>>> {
        if self.has(InitFlags::PARALLEL_DIROPS) {
            return Ok(None);
        }
        self.turn_wait
            .wait(Signals::Killable, Wake::Shared, || {
                !busy.xchg(true, Acquire)
            })
            .map_err(|_| EINTR)?;
        Ok(Some(Turn {
            connection: self,
            busy,
        }))
    }

    /// An inode, which others may still have names for, is about to go, and with it what we know
    /// of its changes: attributes that are on their way must not be believed for a successor.
    pub(crate) fn evicted(&self) {
        raise(&self.evicted_at, self.next_attr_version().0);
    }

    /// The version of attributes at the latest [`Connection::evicted`].
    pub(crate) fn last_eviction(&self) -> AttrVersion {
        AttrVersion(self.evicted_at.load(Relaxed))
    }

    /// The epoch.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Acquire))
    }

    /// Another epoch begins: no name is believed, nor one that is told of in answer to an earlier
    /// request.
    pub(crate) fn begin_epoch(&self) {
        // Who finds the new epoch knows which requests are earlier.
        raise(&self.epoch_at, self.next_attr_version().0);
        self.epoch.fetch_add(1, Full);
    }

    /// How long a name is to be believed that is `valid` so long by the answer to a request which
    /// was made at `version`.
    pub(crate) fn believe(&self, valid: Timeout, version: AttrVersion) -> Belief {
        let epoch = self.epoch();
        if version.is_stale_for(AttrVersion(self.epoch_at.load(Relaxed))) {
            return Belief::NONE;
        }
        Belief::new(valid.deadline(monotonic_nanos()), epoch)
    }

    /// Whether a name may be believed now.
    #[inline]
    pub(crate) fn believes(&self, belief: Belief) -> bool {
        belief.holds(monotonic_nanos(), self.epoch())
    }

    /// Requests that are on their way or with the server.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    /// Pages of copies of dirty pages that the server has not stored yet.
    pub(crate) fn temporary_pages(&self) -> u64 {
        self.temporary_pages.load(Relaxed)
    }

    /// So many more.
    pub(crate) fn add_temporary_pages(&self, pages: usize) {
        let pages = pages as u64;
        let before = self.temporary_pages.fetch_add(pages, Relaxed);
        self.trace_temporary_pages(pages as i64, before.wrapping_add(pages));
    }

    /// So many fewer.
    pub(crate) fn remove_temporary_pages(&self, pages: usize) {
        let pages = pages as u64;
        let before = self.temporary_pages.fetch_sub(pages, Relaxed);
        self.trace_temporary_pages((pages as i64).wrapping_neg(), before.wrapping_sub(pages));
    }

    /// Another device file serves the connection.
    pub(crate) fn add_device(&self) {
        self.devices.fetch_add(1, Relaxed);
    }

    /// A device file is closed: what it has taken will not be answered. The last one ends the
    /// connection.
    pub(crate) fn remove_device(self: &Arc<Self>, device: u64) {
        let work = self.work();
        self.abort_each(|| self.in_flight.lock().take_of_device(device));
        drop(work);
        if self.devices.fetch_sub(1, Full) == 1 {
            self.end(End::Aborted);
        }
    }

    /// Ends the connection: everything that waits gets an error, and nothing new is taken.
    pub(crate) fn end(self: &Arc<Self>, how: End) {
        let _work = self.work();
        self.close(how);
        self.abort_each(|| self.in_flight.lock().take_any());
    }

    /// As [`Connection::end`], for want of answers: a carrier breaks off, so that callers who hear of
    /// the end have their memory for themselves. May sleep, but not for the server.
    pub(crate) fn break_off(self: &Arc<Self>, how: End) {
        self.close(how);
        if let Some(carrier) = self.carrier() {
            carrier.break_off(self);
        }
        self.end(how);
    }

    /// Takes nothing new, and answers what the server has not got. Done once.
    fn close(self: &Arc<Self>, how: End) {
        let _work = self.work();
        let forgets = {
            let mut queue = self.queue.lock();
            if !queue.disconnect(how) {
                return;
            }
            // Who finds the queue closed must find the connection ended.
            self.ended.store(true, Release);
            queue.take_forgets()
        };
        drop(forgets);
        self.ready_wait.wake_all();
        self.abort_each(|| self.background.lock().pop());
        self.abort_each(|| self.queue.lock().next_request());
        self.readable.wake_all();
        self.fasync.signal_readable();
    }

    /// The caller works on something the end of the connection must wait for: requests that it
    /// has taken out of the queues, or inodes. While the returned value lives it waits for nobody
    /// but for what ends with the connection.
    pub(crate) fn work(&self) -> Work<'_> {
        self.workers.fetch_add(1, Full);
        Work(self)
    }

    /// Ends the connection, and waits until nobody is left who works on an answer.
    pub(crate) fn end_and_wait(self: &Arc<Self>, how: End) {
        self.end(how);
        self.workers_wait
            .wait_uninterruptible(|| self.workers.load(Acquire) == 0);
    }

    /// There is something else for the server. Does not sleep.
    fn other_is_queued(&self) {
        match self.carrier() {
            Some(carrier) => carrier.fetch_others(self),
            None => self.wake_reader(),
        }
    }

    /// Tells one reader of the device that there is something to read.
    fn wake_reader(&self) {
        self.readable.wake_one();
        self.fasync.signal_readable();
    }

    /// As [`Connection::wake_reader`], by who is about to wait for the answer.
    fn wake_reader_before_sleep(&self) {
        self.readable.wake_one_sync();
        self.fasync.signal_readable();
    }
}

/// Makes a number at least `least`.
fn raise(number: &Atomic<u64>, least: u64) {
    let mut seen = number.load(Relaxed);
    while seen < least {
        match number.cmpxchg(seen, least, Relaxed) {
            Ok(_) => return,
            Err(other) => seen = other,
        }
    }
}
