// SPDX-License-Identifier: GPL-2.0

//! Wait queues with killable, interruptible and exclusive waits.

use crate::bindings;
use kernel::error::code::ERESTARTSYS;
use kernel::prelude::*;
use kernel::sync::LockClassKey;
use kernel::types::Opaque;

/// Which signals end a wait early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signals {
    /// None: only for waits that nobody outside the kernel can delay.
    None,
    /// Any.
    Interruptible,
    /// Only those that kill the process.
    Killable,
}

/// Whether a wake-up of one waiter may choose this one and leave the rest asleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Woken with all others.
    Shared,
    /// Woken one at a time.
    Exclusive,
}

/// A `wait_queue_head`.
#[pin_data]
pub struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
}

// SAFETY: A wait queue is made for concurrent use; it synchronises itself.
unsafe impl Send for WaitQueue {}
// SAFETY: As above.
unsafe impl Sync for WaitQueue {}

/// Makes a [`WaitQueue`] with a lockdep class of its own.
#[macro_export]
macro_rules! new_wait_queue {
    ($name:literal) => {
        $crate::sync::wait::WaitQueue::new(::kernel::c_str!($name), ::kernel::static_lock_class!())
    };
}
pub use new_wait_queue;

impl WaitQueue {
    /// Makes an empty queue.
    pub fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `slot` is valid for writing; name and key live for ever.
            head <- Opaque::ffi_init(|slot| unsafe {
                bindings::__init_waitqueue_head(slot, name.as_char_ptr(), key.as_ptr())
            }),
        })
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::wait_queue_head {
        self.head.get()
    }

    /// Sleeps until `condition` holds or a signal of the given kind arrives.
    ///
    /// `condition` is evaluated in a state in which it must not sleep; it may take spinlocks.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` when a signal came first.
    #[inline]
    pub fn wait(
        &self,
        signals: Signals,
        wake: Wake,
        mut condition: impl FnMut() -> bool,
    ) -> Result {
        kernel::task::might_sleep();
        if condition() {
            return Ok(());
        }
        self.wait_slow(signals, wake, &mut condition)
    }

    /// Sleeps until `condition` holds, which nobody outside the kernel can delay.
    ///
    /// # Context
    ///
    /// As for [`WaitQueue::wait`].
    pub fn wait_uninterruptible(&self, mut condition: impl FnMut() -> bool) {
        kernel::task::might_sleep();
        if !condition() {
            // Without signals, the wait ends only with the condition.
            let _ = self.wait_slow(Signals::None, Wake::Shared, &mut condition);
        }
    }

    fn wait_slow(
        &self,
        signals: Signals,
        wake: Wake,
        condition: &mut dyn FnMut() -> bool,
    ) -> Result {
        let state = match signals {
            Signals::None => bindings::TASK_UNINTERRUPTIBLE,
            Signals::Interruptible => bindings::TASK_INTERRUPTIBLE,
            Signals::Killable => bindings::TASK_WAKEKILL | bindings::TASK_UNINTERRUPTIBLE,
        } as i32;
        let flags = match wake {
            Wake::Shared => 0,
            Wake::Exclusive => bindings::WQ_FLAG_EXCLUSIVE as i32,
        };
        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: `entry` is valid for writing and does not move until it is off the queue: both
        // ways out of the loop below take it off (a signal in `prepare_to_wait_event` does so).
        unsafe { bindings::init_wait_entry(entry.get(), flags) };
        loop {
            // SAFETY: Queue and entry are valid and initialised.
            let interrupted =
                unsafe { bindings::prepare_to_wait_event(self.head.get(), entry.get(), state) };
            if condition() {
                break;
            }
            if interrupted != 0 {
                // The entry is off the queue already, and the task is running.
                return Err(ERESTARTSYS);
            }
            // SAFETY: We are in process context and hold no spinlock.
            unsafe { bindings::schedule() };
            // Without queueing up again: most waits end with the first wake-up.
            if condition() {
                break;
            }
        }
        // SAFETY: Queue and entry are valid; afterwards the entry is on no queue.
        unsafe { bindings::finish_wait(self.head.get(), entry.get()) };
        Ok(())
    }

    /// Wakes all shared waiters and one exclusive one.
    #[inline]
    pub fn wake_one(&self) {
        // SAFETY: The queue is initialised.
        unsafe {
            bindings::__wake_up(
                self.head.get(),
                bindings::TASK_NORMAL,
                1,
                core::ptr::null_mut(),
            )
        };
    }

    /// As [`WaitQueue::wake_one`], by who is about to sleep: the woken may well run here.
    #[inline]
    pub fn wake_one_sync(&self) {
        // SAFETY: The queue is initialised.
        unsafe { bindings::__wake_up_sync(self.head.get(), bindings::TASK_NORMAL) };
    }

    /// Wakes everyone.
    #[inline]
    pub fn wake_all(&self) {
        // SAFETY: The queue is initialised.
        unsafe {
            bindings::__wake_up(
                self.head.get(),
                bindings::TASK_NORMAL,
                0,
                core::ptr::null_mut(),
            )
        };
    }
}
