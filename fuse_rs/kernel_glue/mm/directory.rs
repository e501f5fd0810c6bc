// SPDX-License-Identifier: GPL-2.0

//! The page cache of a directory, where a file system keeps what it likes. The kernel takes pages
//! away when it needs memory.

use super::folio::LockedFolio;
use crate::bindings;
use crate::vfs::inode::Inode;
use crate::vfs::FileSystem;
use core::ptr::NonNull;
use kernel::error::from_err_ptr;
use kernel::error::to_result;
use kernel::prelude::*;

/// A page of a directory, locked by whoever has the value.
///
/// # Invariants
///
/// The folio is in the page cache of a directory and always mapped into the kernel. Directories
/// cannot be mapped by users and have no I/O of the kernel's, so nobody touches the bytes but who
/// holds the lock.
pub struct DirectoryPage(LockedFolio);

impl DirectoryPage {
    /// Whether [`Self::mark_valid`] has been called since the page was made.
    pub fn is_valid(&self) -> bool {
        self.0.is_uptodate()
    }

    /// Declares the content valid. All of it has been written.
    pub fn mark_valid(&mut self) {
        self.0.mark_uptodate();
    }

    /// Zeroes everything.
    pub fn clear(&mut self) {
        self.0.zero_from(0);
    }

    /// The content. Of a page that is not valid, whatever was in memory.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: By the type's invariants; nobody writes while the value is borrowed.
        unsafe { core::slice::from_raw_parts(self.0.address(), self.0.size()) }
    }

    /// The content, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: By the type's invariants; the value is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.0.address(), self.0.size()) }
    }
}

impl<T: FileSystem> Inode<T> {
    /// Page `index` of this directory, if it is there.
    ///
    /// # Context
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `ENOTDIR`; `EINTR` when the caller is killed.
    pub fn directory_page(&self, index: u64) -> Result<Option<DirectoryPage>> {
        self.check_directory()?;
        // SAFETY: The mapping is valid as long as the inode.
        let folio =
            unsafe { bindings::fuse_rs_helper_get_cached_folio(self.mapping(), index as usize) };
        let Some(folio) = from_err_ptr(folio).ok().and_then(NonNull::new) else {
            return Ok(None);
        };
        // SAFETY: The folio comes with a reference, which is given up unless it gets locked; then
        // both are the new value's.
        let folio = unsafe {
            let locked = to_result(bindings::fuse_rs_helper_folio_lock_killable(folio.as_ptr()));
            if locked.is_err() {
                bindings::fuse_rs_helper_folio_put(folio.as_ptr());
                return Err(EINTR);
            }
            LockedFolio::from_raw(folio)
        };
        // It may have been taken away before it was locked.
        // INVARIANT: The folio is in the directory's page cache, into which they come only by
        // `make_directory_page`.
        Ok(folio.is_in(self.mapping()).then_some(DirectoryPage(folio)))
    }

    /// Page `index` of this directory; made if it is not there.
    ///
    /// # Context
    ///
    /// May sleep, also for whoever has locked the page.
    ///
    /// # Errors
    ///
    /// `ENOTDIR`, `ENOMEM`.
    pub fn make_directory_page(&self, index: u64) -> Result<DirectoryPage> {
        self.check_directory()?;
        // SAFETY: The mapping is valid as long as the inode.
        let folio =
            unsafe { bindings::fuse_rs_helper_make_low_folio(self.mapping(), index as usize) };
        let folio = NonNull::new(from_err_ptr(folio)?).ok_or(ENOMEM)?;
        // SAFETY: The folio is locked and comes with a reference.
        // INVARIANT: It was not allocated from memory that is mapped only for a while.
        Ok(DirectoryPage(unsafe { LockedFolio::from_raw(folio) }))
    }

    /// Gives back the pages of this directory before `index` that nobody uses at the moment; the
    /// others are left to whoever needs memory.
    pub fn drop_directory_pages(&self, index: u64) {
        if let Some(last) = index.checked_sub(1).filter(|_| self.is_directory()) {
            // SAFETY: The mapping is valid as long as the inode.
            unsafe { bindings::invalidate_mapping_pages(self.mapping(), 0, last as usize) };
        }
    }

    fn check_directory(&self) -> Result {
        if self.is_directory() {
            Ok(())
        } else {
            Err(ENOTDIR)
        }
    }
}
