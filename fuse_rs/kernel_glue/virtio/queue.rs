// SPDX-License-Identifier: GPL-2.0

//! Virtqueues.

use super::driver::Device;
use super::driver::Driver;
use super::table::Entry;
use super::table::Load;
use super::table::Table;
use crate::bindings;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use kernel::impl_has_work;
use kernel::new_spinlock;
use kernel::new_work;
use kernel::prelude::*;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Relaxed;
use kernel::sync::rcu;
use kernel::sync::Arc;
use kernel::sync::SpinLock;
use kernel::time::delay::fsleep;
use kernel::time::Delta;
use kernel::workqueue::Work;
use kernel::workqueue::WorkItem;

/// Loads that are handed back at a time. Few, since most often there is just one.
const BATCH: usize = 4;
/// How long to wait for memory.
const PAUSE: Delta = Delta::from_millis(10);

/// Why a queue did not take a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no room now; [`Driver::has_room`] is called later.
    Full,
    /// It cannot be listed, or not in one chain of the queue.
    TooLong,
    /// The device is gone or broken.
    Gone,
}

/// A load, and where it came from.
struct Slot<L> {
    load: L,
    /// Bytes that the device may write.
    writable: usize,
}

type Place<L> = KBox<MaybeUninit<Slot<L>>>;

/// A queue that exists.
///
/// # Invariants
///
/// `queue` is valid as long as the value exists. What the device has of it are pointers to slots from
/// `KBox::into_raw`, each of them once.
struct Ring<D: Driver> {
    queue: NonNull<bindings::virtqueue>,
    device: Arc<Device<D>>,
    entries: KVVec<Entry>,
    /// Places for loads that the device does not have. There is one at least if it has none.
    spare: KVec<Place<D::Load>>,
    /// Loads that the device has.
    out: usize,
}

/// What a queue may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Loads are given to the device, and come back.
    Open,
    /// They only come back.
    Paused,
    /// Nothing, for a while.
    Closed,
    /// Nothing any more.
    Gone,
}

struct State<D: Driver> {
    phase: Phase,
    ring: Option<Ring<D>>,
}

// SAFETY: A queue is not bound to a thread.
unsafe impl<D: Driver> Send for Ring<D> {}

/// A queue of a device.
#[pin_data]
pub struct Queue<D: Driver> {
    #[pin]
    state: SpinLock<State<D>>,
    #[pin]
    work: Work<Queue<D>>,
    /// Which of the device's queues it is.
    index: usize,
    /// Entries of a chain at most.
    size: Atomic<usize>,
    /// There was no memory.
    starved: Atomic<bool>,
}

impl_has_work! {
    impl{D: Driver} HasWork<Self> for Queue<D> { self.work }
}

// A ring may be moved: what C knows of it lies elsewhere.
impl<D: Driver> Unpin for State<D> {}

impl<D: Driver> WorkItem for Queue<D> {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        if this.starved.xchg(false, Relaxed) {
            fsleep(PAUSE);
        }
        while !this.collect() {}
    }
}

/// Loads that a device has given back, with the bytes it says it has written.
struct Returned<L>([Option<(L, Option<usize>)>; BATCH]);

impl<D: Driver> Queue<D> {
    /// The queue `index` of a device, which does not exist yet.
    pub(super) fn new(index: usize) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                state <- new_spinlock!(
                    State {
                        phase: Phase::Closed,
                        ring: None,
                    },
                    "fuse_rs::virtio::Queue::state"
                ),
                work <- new_work!("fuse_rs::virtio::Queue::work"),
                index,
                size: Atomic::new(0),
                starved: Atomic::new(false),
            }),
            GFP_KERNEL,
        )
    }

    /// Entries of a chain at most.
    pub fn size(&self) -> usize {
        self.size.load(Relaxed)
    }

    /// It exists now.
    ///
    /// # Safety
    ///
    /// `queue` is a queue of `device` that nobody has used, and is valid until it is
    /// [taken away](Self::take).
    pub(super) unsafe fn open(
        &self,
        queue: NonNull<bindings::virtqueue>,
        device: &Arc<Device<D>>,
    ) -> Result {
        // SAFETY: The queue is valid.
        let size = unsafe { bindings::virtqueue_get_vring_size(queue.as_ptr()) } as usize;
        let mut spare = KVec::with_capacity(size, GFP_KERNEL)?;
        spare.push(KBox::new_uninit(GFP_KERNEL)?, GFP_KERNEL)?;
        // INVARIANT: By the safety requirements; the device has nothing.
        let ring = Ring {
            queue,
            device: device.clone(),
            entries: KVVec::with_capacity(size, GFP_KERNEL)?,
            spare,
            out: 0,
        };
        self.size.store(size, Relaxed);
        let mut state = self.state.lock();
        state.phase = Phase::Open;
        state.ring = Some(ring);
        Ok(())
    }

    /// From now on it may be used for this, unless it is gone.
    pub(super) fn set_phase(&self, phase: Phase) {
        let mut state = self.state.lock();
        if state.phase != Phase::Gone {
            state.phase = phase;
        }
    }

    /// Whether the device has nothing of it.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.ring.as_ref().is_none_or(|ring| ring.out == 0)
    }

    /// Takes a closed queue away, with what the device has.
    pub(super) fn take(&self) -> Option<Closed<D>> {
        self.state.lock().ring.take().map(Closed)
    }

    /// Gives `load` to the device. Does not sleep.
    ///
    /// # Errors
    ///
    /// The load, and why.
    pub fn add(self: &Arc<Self>, load: D::Load) -> Result<(), (Refusal, D::Load)> {
        // Who closes the queue waits for who notifies the device.
        let _section = rcu::read_lock();
        let added = {
            let mut state = self.state.lock();
            let State { phase, ring } = &mut *state;
            match (*phase, ring) {
                (Phase::Open, Some(ring)) => ring.add(load),
                (Phase::Gone, _) => return Err((Refusal::Gone, load)),
                _ => return Err((Refusal::Full, load)),
            }
        };
        match added {
            Ok(None) => Ok(()),
            Ok(Some(queue)) => {
                // SAFETY: Valid, as it is closed only after the section.
                unsafe { bindings::virtqueue_notify(queue.as_ptr()) };
                Ok(())
            }
            Err((Rejection::ForNow, load)) => Err((Refusal::Full, load)),
            Err((Rejection::NoMemory, load)) => {
                self.retry_later();
                Err((Refusal::Full, load))
            }
            Err((Rejection::TooLong, load)) => Err((Refusal::TooLong, load)),
            Err((Rejection::Broken, load)) => Err((Refusal::Gone, load)),
        }
    }

    /// Has [`Driver::has_room`] called in a while, for whoever has no memory.
    pub fn retry_later(self: &Arc<Self>) {
        self.starved.store(true, Relaxed);
        self.look();
    }

    /// Has it looked at what the device gives back.
    pub(super) fn look(self: &Arc<Self>) {
        if let Some(queue) = D::work_queue() {
            // Given back if it is about to run already.
            let _ = queue.enqueue(self.clone());
        }
    }

    /// Hands back what the device has given back; `true` when there is nothing more.
    fn collect(self: &Arc<Self>) -> bool {
        let mut returned = Returned::<D::Load>([const { None }; BATCH]);
        let (device, done) = {
            let mut state = self.state.lock();
            let State { phase, ring } = &mut *state;
            let Some(ring) = ring.as_mut() else {
                return true;
            };
            if matches!(phase, Phase::Closed | Phase::Gone) {
                return true;
            }
            let done = ring.collect(&mut returned);
            (ring.device.clone(), done)
        };
        // One by one: to move all of them at once is not cheap.
        for returned in &mut returned.0 {
            let Some((load, written)) = returned.take() else {
                break;
            };
            D::returned(&device, self.index, load, written);
        }
        D::has_room(&device, self.index);
        done
    }
}

/// Why a ring did not take a load.
enum Rejection {
    ForNow,
    NoMemory,
    TooLong,
    Broken,
}

impl<D: Driver> Ring<D> {
    /// The queue, if the device is to be notified.
    fn add(
        &mut self,
        load: D::Load,
    ) -> Result<Option<NonNull<bindings::virtqueue>>, (Rejection, D::Load)> {
        let place = match self.spare.pop() {
            Some(place) => place,
            None => match KBox::new_uninit(GFP_ATOMIC | __GFP_NOWARN) {
                Ok(place) => place,
                // The device has some.
                Err(_) => return Err((Rejection::ForNow, load)),
            },
        };
        let slot = KBox::into_raw(KBox::write(place, Slot { load, writable: 0 }));
        // SAFETY: It just came from a box, and nobody else knows it.
        match unsafe { self.add_slot(slot) } {
            Ok(()) => {
                self.out += 1;
                // SAFETY: The queue is valid by the invariants, and the lock is held.
                let notify = unsafe { bindings::virtqueue_kick_prepare(self.queue.as_ptr()) };
                Ok(notify.then_some(self.queue))
            }
            Err(error) => {
                let why = match error {
                    ENOSPC if self.out > 0 => Rejection::ForNow,
                    ENOMEM => Rejection::NoMemory,
                    EIO => Rejection::Broken,
                    _ => Rejection::TooLong,
                };
                // SAFETY: The device did not get it.
                Err((why, unsafe { self.take_slot(slot) }.load))
            }
        }
    }

    /// # Safety
    ///
    /// `slot` came from `KBox::into_raw`, and nobody else uses it.
    unsafe fn add_slot(&mut self, slot: *mut Slot<D::Load>) -> Result {
        let mut table = Table::new(self.entries.spare_capacity_mut());
        // SAFETY: By the safety requirements. The reference ends with the table, but what is listed
        // stays as it is until the slot is used again: when the device has given it back, or did not
        // get it.
        let load = unsafe { &mut (*slot).load };
        load.describe(&mut table)?;
        let (readable, writable) = table.counts();
        let bytes = table.writable_bytes();
        // SAFETY: As above; the borrow of the load is over.
        unsafe { (*slot).writable = bytes };
        let mut lists = match table.finish() {
            [Some(first), second] => [first, second.unwrap_or(core::ptr::null_mut())],
            [None, second] => [second.ok_or(EINVAL)?, core::ptr::null_mut()],
        };
        // SAFETY: The queue is valid by the invariants, and the lock is held; the lists are closed, and
        // are not used afterwards.
        kernel::error::to_result(unsafe {
            bindings::virtqueue_add_sgs(
                self.queue.as_ptr(),
                lists.as_mut_ptr(),
                (readable > 0).into(),
                (writable > 0).into(),
                slot.cast(),
                bindings::GFP_ATOMIC,
            )
        })
    }

    /// # Safety
    ///
    /// `slot` came from `KBox::into_raw`, and nobody uses it any more.
    unsafe fn take_slot(&mut self, slot: *mut Slot<D::Load>) -> Slot<D::Load> {
        // SAFETY: By the safety requirements. What is read is not used again, as the place is empty
        // afterwards.
        let (slot, place) = unsafe {
            let value = slot.read();
            (
                value,
                KBox::from_raw(slot.cast::<MaybeUninit<Slot<D::Load>>>()),
            )
        };
        // Without room it is freed.
        let _ = self.spare.push_within_capacity(place);
        slot
    }

    /// `true` when the device has nothing more to give back, and will call when it has.
    fn collect(&mut self, to: &mut Returned<D::Load>) -> bool {
        // SAFETY: The queue is valid by the invariants, and the lock is held.
        unsafe { bindings::virtqueue_disable_cb(self.queue.as_ptr()) };
        for to in &mut to.0 {
            let mut written = 0;
            // SAFETY: As above.
            let slot = unsafe { bindings::virtqueue_get_buf(self.queue.as_ptr(), &mut written) };
            if slot.is_null() {
                // SAFETY: As above.
                return unsafe { bindings::virtqueue_enable_cb(self.queue.as_ptr()) };
            }
            self.out -= 1;
            // SAFETY: By the invariants; the device has given it back.
            let slot = unsafe { self.take_slot(slot.cast()) };
            let written = Some(written as usize).filter(|written| *written <= slot.writable);
            *to = Some((slot.load, written));
        }
        false
    }
}

/// A queue that nobody uses any more.
pub(super) struct Closed<D: Driver>(Ring<D>);

impl<D: Driver> Closed<D> {
    /// Takes the next load that the device had.
    ///
    /// # Safety
    ///
    /// The device was reset.
    pub(super) unsafe fn take(&mut self) -> Option<D::Load> {
        // SAFETY: The queue is valid by the invariants, and nobody else uses it.
        let slot = unsafe { bindings::virtqueue_detach_unused_buf(self.0.queue.as_ptr()) };
        if slot.is_null() {
            return None;
        }
        // SAFETY: By the invariants; the device does not use it any more.
        Some(unsafe { self.0.take_slot(slot.cast()) }.load)
    }
}
