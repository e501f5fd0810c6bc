// SPDX-License-Identifier: GPL-2.0

//! Keeping a file system from being shut down.

use super::super_block::SuperBlock;
use super::FileSystem;
use crate::bindings;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

/// Keeps a super block active after the last mount of it is gone. Dropping it may shut the file system
/// down, and so sleep.
///
/// # Invariants
///
/// The value owns one active reference.
pub struct KeptSuper<T: FileSystem>(NonNull<SuperBlock<T>>);

// SAFETY: An active reference may be given up by any task.
unsafe impl<T: FileSystem> Send for KeptSuper<T> {}

impl<T: FileSystem> KeptSuper<T> {
    /// Gives it up if that does not shut the file system down. Does not sleep.
    pub fn try_release(self) -> Result<(), Self> {
        // SAFETY: By the type's invariants.
        if unsafe { bindings::fuse_rs_helper_put_active_unless_last(self.0.as_ref().as_ptr()) } {
            let _ = ManuallyDrop::new(self);
            Ok(())
        } else {
            Err(self)
        }
    }
}

impl<T: FileSystem> Drop for KeptSuper<T> {
    fn drop(&mut self) {
        // SAFETY: By the type's invariants; it is given up.
        unsafe { bindings::deactivate_super(self.0.as_ref().as_ptr()) };
    }
}

impl<T: FileSystem> SuperBlock<T> {
    /// Keeps it active, unless it is being shut down. Does not sleep.
    pub fn keep(&self) -> Option<KeptSuper<T>> {
        // SAFETY: The super block is valid.
        let kept = unsafe { bindings::fuse_rs_helper_get_active(self.as_ptr()) };
        // INVARIANT: The reference was just taken.
        kept.then(|| KeptSuper(NonNull::from(self)))
    }
}
