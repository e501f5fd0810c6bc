// SPDX-License-Identifier: GPL-2.0

//! The window of a mount.

use super::reclaim::Reclaimer;
use crate::connection::Connection;
use crate::prelude::*;
use fuse_pure::logic::dax_window;
use fuse_pure::logic::dax_window::Batch;
use fuse_pure::logic::dax_window::Piece;
use fuse_pure::logic::dax_window::RangeId;
use fuse_pure::logic::dax_window::Use;
use fuse_pure::logic::dax_window::MAX_RANGES;
use fuse_pure::logic::dax_window::RANGE;
use kernel_glue::dax::device::Device;
use kernel_glue::dax::Hold;
use kernel_glue::sync::periodic::Periodic;
use kernel_glue::sync::wait::WaitQueue;

/// How a range is used. What is found of a file under the lock of its map is counted there, so who
/// finds no users under that lock can take the range away.
struct Usage {
    /// Those who copy from or to it, are about to map it, or wait for it.
    users: Atomic<u32>,
    /// There have been some since this was asked last.
    recent: Atomic<bool>,
}

/// The window of a mount.
#[pin_data]
pub(crate) struct Window {
    device: Arc<Device>,
    usage: KVVec<Usage>,
    #[pin]
    ranges: SpinLock<dax_window::Window<KVVec<dax_window::Range>>>,
    /// Ranges that will be free when the server has answered.
    returning: Atomic<u32>,
    /// Tasks that wait for a free one.
    wanted: Atomic<u32>,
    /// Woken when a range is free, and when there will be none.
    #[pin]
    free_wait: WaitQueue,
    /// Woken when the server has answered what it shows.
    #[pin]
    answer_wait: WaitQueue,
    reclaimer: Pin<KBox<Periodic<Reclaimer>>>,
}

impl Window {
    /// The window in a device's memory, in which nothing is shown.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` when the memory is too small.
    pub(crate) fn new(device: Arc<Device>, connection: &Arc<Connection>) -> Result<Arc<Self>> {
        let ranges =
            usize::try_from(device.len() / RANGE).map_or(MAX_RANGES, |n| n.min(MAX_RANGES));
        if ranges == 0 {
            return Err(EINVAL);
        }
        let states = KVVec::from_elem(dax_window::Range::Held, ranges, GFP_KERNEL)?;
        let mut usage = KVVec::with_capacity(ranges, GFP_KERNEL)?;
        for _ in 0..ranges {
            let unused = Usage {
                users: Atomic::new(0),
                recent: Atomic::new(false),
            };
            usage.push(unused, GFP_KERNEL)?;
        }
        let reclaimer = Reclaimer::new(connection)?;
        Arc::pin_init(
            pin_init!(Self {
                device,
                usage,
                ranges <- new_spinlock!(dax_window::Window::new(states), "fuse_rs::Window::ranges"),
                returning: Atomic::new(0),
                wanted: Atomic::new(0),
                free_wait <- new_wait_queue!("fuse_rs::Window::free_wait"),
                answer_wait <- new_wait_queue!("fuse_rs::Window::answer_wait"),
                reclaimer,
            }),
            GFP_KERNEL,
        )
    }

    /// Where its memory is.
    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    fn usage(&self, range: RangeId) -> Option<&Usage> {
        self.usage.get(range.index())
    }

    /// The range is used from now on. The map of its file is locked.
    pub(super) fn enter(&self, range: RangeId) {
        if let Some(usage) = self.usage(range) {
            usage.users.fetch_add(1, Relaxed);
            if !usage.recent.load(Relaxed) {
                usage.recent.store(true, Relaxed);
            }
        }
    }

    /// A user is done.
    pub(super) fn leave(&self, hold: Hold) {
        let range = RangeId::from_index(hold.0 as usize);
        if let Some(usage) = range.and_then(|range| self.usage(range)) {
            // What the user has copied comes before the range is taken away.
            usage.users.fetch_sub(1, Release);
        }
    }

    /// Whether nobody uses it. Stays so as long as the map of its file is locked.
    pub(super) fn is_unused(&self, range: RangeId) -> bool {
        self.usage(range)
            .is_some_and(|usage| usage.users.load(Acquire) == 0)
    }

    fn present_use(&self, range: RangeId) -> Use {
        match self.usage(range) {
            Some(usage) if usage.users.load(Relaxed) == 0 => {
                if usage.recent.load(Relaxed) {
                    usage.recent.store(false, Relaxed);
                    Use::Recent
                } else {
                    Use::Idle
                }
            }
            _ => Use::Busy,
        }
    }

    /// A free range, which is the caller's to give back. Has others reclaimed if few are left.
    pub(super) fn take(&self) -> Option<RangeId> {
        let (range, short) = {
            let mut ranges = self.ranges.lock();
            (ranges.take(), ranges.is_short())
        };
        if short {
            self.reclaimer.start();
        }
        range
    }

    /// The server shows nothing in the range, which is the caller's: it is free.
    pub(super) fn give_back(&self, range: RangeId) {
        self.ranges.lock().give_back(range);
        self.free_wait.wake_one();
    }

    /// The server shows a piece in the range, which was the caller's.
    pub(super) fn map(&self, range: RangeId, piece: Piece) {
        self.ranges.lock().map(range, piece);
    }

    /// The range is in no map any more: it is the caller's.
    pub(super) fn unmap(&self, range: RangeId) {
        self.ranges.lock().unmap(range);
    }

    /// How many ranges are to be reclaimed.
    pub(super) fn missing(&self) -> u32 {
        let (returning, wanted) = (self.returning.load(Relaxed), self.wanted.load(Acquire));
        self.ranges.lock().missing(returning, wanted)
    }

    /// Ranges to be reclaimed, of which so many are needed.
    pub(super) fn choose(&self, most: u32) -> Option<Batch> {
        self.ranges
            .lock()
            .choose(most, |range| self.present_use(range))
    }

    /// A range that was chosen is not reclaimed.
    pub(super) fn spare(&self, range: RangeId) {
        self.ranges.lock().spare(range);
    }

    /// So many ranges will be given back when the server has answered.
    pub(super) fn expect_back(&self, ranges: usize) {
        self.returning.fetch_add(ranges as u32, Relaxed);
    }

    /// They are given back.
    pub(super) fn have_back(&self, ranges: &[RangeId]) {
        self.returning.fetch_sub(ranges.len() as u32, Relaxed);
        for range in ranges {
            self.give_back(*range);
        }
    }

    /// Whether there are tasks that wait for a range.
    pub(super) fn has_waiters(&self) -> bool {
        self.wanted.load(Acquire) > 0
    }

    /// Runs `reclaim`, and waits until a range is free or `gives_up` says that there will be none.
    ///
    /// # Errors
    ///
    /// `EINTR` when the caller is killed.
    pub(super) fn wait_for_free(&self, reclaim: impl Fn(), gives_up: impl Fn() -> bool) -> Result {
        self.wanted.fetch_add(1, Full);
        reclaim();
        // From now on until nobody waits any more it looks every now and then.
        self.reclaimer.start();
        let waited = self.free_wait.wait(Signals::Killable, Wake::Exclusive, || {
            self.ranges.lock().free() > 0 || gives_up()
        });
        self.wanted.fetch_sub(1, Full);
        waited.map_err(|_| EINTR)
    }

    /// Nobody need wait for a free range any more.
    pub(super) fn give_up(&self) {
        self.free_wait.wake_all();
    }

    /// The server has answered what it shows.
    pub(super) fn answered(&self) {
        self.answer_wait.wake_all();
    }

    /// Waits until `is_answered`.
    ///
    /// # Errors
    ///
    /// `EINTR` when the caller is killed.
    pub(super) fn wait_for_answer(&self, is_answered: impl FnMut() -> bool) -> Result {
        self.answer_wait
            .wait(Signals::Killable, Wake::Shared, is_answered)
            .map_err(|_| EINTR)
    }
}
