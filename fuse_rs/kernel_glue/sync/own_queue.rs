// SPDX-License-Identifier: GPL-2.0

//! A work queue of the module's own: when the module goes, it waits for what runs on it, also if that
//! has given up the last reference to the module by then.

use crate::bindings;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::atomic::Acquire;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Relaxed;
use kernel::sync::atomic::Release;
use kernel::workqueue::Queue;

/// What a work queue is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueKind {
    /// What may take long, on any CPU.
    Long,
    /// What somebody waits for, who may be about to free memory; on the CPU where it is queued.
    Prompt,
}

impl QueueKind {
    fn flags(self) -> u32 {
        match self {
            Self::Long => bindings::wq_flags_WQ_UNBOUND,
            Self::Prompt => bindings::wq_flags_WQ_MEM_RECLAIM | bindings::wq_flags_WQ_PERCPU,
        }
    }
}

/// A work queue.
///
/// # Invariants
///
/// The address is zero or that of a work queue that exists.
pub struct OwnQueue(Atomic<usize>);

/// Keeps an [`OwnQueue`] in existence.
pub struct OwnQueueOwner(&'static OwnQueue);

impl OwnQueue {
    /// Not ready yet.
    pub const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Makes the queue. It lives as long as the returned value, which must not be dropped before all
    /// who use it are gone.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EBUSY` if it exists.
    pub fn create(&'static self, name: &'static CStr, kind: QueueKind) -> Result<OwnQueueOwner> {
        if self.0.load(Relaxed) != 0 {
            return Err(EBUSY);
        }
        // SAFETY: The name is a string.
        let queue =
            unsafe { bindings::fuse_rs_helper_alloc_workqueue(name.as_char_ptr(), kind.flags()) };
        let queue = NonNull::new(queue).ok_or(ENOMEM)?;
        // INVARIANT: It was just made.
        self.0.store(queue.as_ptr() as usize, Release);
        Ok(OwnQueueOwner(self))
    }

    /// The queue, if it exists.
    pub fn get(&self) -> Option<&Queue> {
        let queue = self.0.load(Acquire) as *const bindings::workqueue_struct;
        // SAFETY: By the type's invariants; users are gone before it goes.
        (!queue.is_null()).then(|| unsafe { Queue::from_raw(queue) })
    }
}

impl Default for OwnQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for OwnQueueOwner {
    fn drop(&mut self) {
        let queue = self.0 .0.load(Acquire) as *mut bindings::workqueue_struct;
        self.0 .0.store(0, Release);
        // SAFETY: The queue exists, and nobody uses it any more but what runs on it.
        unsafe { bindings::destroy_workqueue(queue) };
    }
}
