// SPDX-License-Identifier: GPL-2.0

//! Signals to processes that asked to be told of readable data (`O_ASYNC`).

use crate::bindings;
use core::cell::UnsafeCell;

/// The processes to tell.
pub struct FasyncList {
    list: UnsafeCell<*mut bindings::fasync_struct>,
}

// SAFETY: The list is changed and read by kernel functions that lock it.
unsafe impl Send for FasyncList {}
// SAFETY: As above.
unsafe impl Sync for FasyncList {}

impl Default for FasyncList {
    fn default() -> Self {
        Self::new()
    }
}

impl FasyncList {
    /// Nobody.
    pub const fn new() -> Self {
        Self {
            list: UnsafeCell::new(core::ptr::null_mut()),
        }
    }

    /// Adds or removes a file; called when its `O_ASYNC` flag changes and when it is closed.
    ///
    /// # Safety
    ///
    /// The arguments are those of the `fasync` operation of a file that is closed before the
    /// list goes away.
    pub(crate) unsafe fn update(&self, fd: i32, file: *mut bindings::file, on: i32) -> i32 {
        // SAFETY: By the safety requirements.
        unsafe { bindings::fasync_helper(fd, file, on, self.list.get()) }
    }

    /// Tells everybody in the list that data can be read. Does not sleep.
    pub fn signal_readable(&self) {
        // SAFETY: The list is only changed by `fasync_helper`.
        unsafe {
            bindings::kill_fasync(
                self.list.get(),
                bindings::SIGIO as i32,
                bindings::POLL_IN as i32,
            )
        };
    }
}
