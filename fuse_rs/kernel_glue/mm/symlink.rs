// SPDX-License-Identifier: GPL-2.0

//! The page cache of a symbolic link, where its target is kept.

use super::folio::LockedFolio;
use crate::bindings;
use crate::mem::pages::PAGE_SIZE;
use crate::vfs::inode::Inode;
use crate::vfs::FileSystem;
use core::ptr::NonNull;
use kernel::error::from_err_ptr;

impl<T: FileSystem> Inode<T> {
    /// Keeps the target of this symbolic link until it is dropped ([`Inode::truncate_pages`]), or
    /// the kernel needs the memory. A target that is kept already stays.
    ///
    /// # Context
    ///
    /// May sleep.
    pub fn keep_target(&self, target: &[u8]) {
        if !self.is_symlink() || target.len() >= PAGE_SIZE {
            return;
        }
        // SAFETY: The mapping is valid as long as the inode.
        let folio = unsafe { bindings::fuse_rs_helper_make_low_folio(self.mapping(), 0) };
        let Some(folio) = from_err_ptr(folio).ok().and_then(NonNull::new) else {
            return;
        };
        // SAFETY: The folio is locked and comes with a reference.
        let mut folio = unsafe { LockedFolio::from_raw(folio) };
        // Once it is valid others read it without the lock, so it is written once.
        if !folio.is_uptodate() {
            folio.zero_from(0);
            folio.write(0, target);
            folio.mark_uptodate();
        }
    }

    /// The target that is kept, as a string; `done` keeps it in memory.
    ///
    /// # Context
    ///
    /// Does not sleep.
    ///
    /// # Safety
    ///
    /// The inode is a symbolic link, and `done` that of a running `get_link`.
    pub(crate) unsafe fn kept_target(
        &self,
        done: *mut bindings::delayed_call,
    ) -> Option<*const kernel::ffi::c_char> {
        // SAFETY: The mapping is valid as long as the inode. The reference to the folio is put by
        // `done`, or here. A valid folio holds a string, see `keep_target`, and was not allocated
        // from memory that is mapped only for a while.
        unsafe {
            let folio = bindings::fuse_rs_helper_get_cached_folio(self.mapping(), 0);
            let folio = from_err_ptr(folio).ok().and_then(NonNull::new)?;
            if !bindings::fuse_rs_helper_folio_uptodate(folio.as_ptr()) {
                bindings::fuse_rs_helper_folio_put(folio.as_ptr());
                return None;
            }
            bindings::fuse_rs_helper_set_delayed_folio_put(done, folio.as_ptr());
            Some(bindings::fuse_rs_helper_folio_address(folio.as_ptr()).cast())
        }
    }
}
