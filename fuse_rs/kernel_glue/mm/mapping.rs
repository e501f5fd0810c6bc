// SPDX-License-Identifier: GPL-2.0

//! The page cache of one file.

use crate::bindings;
use crate::vfs::inode::NewInode;
use crate::vfs::FileSystem;

impl<T: FileSystem> NewInode<T> {
    /// Lets the page cache of the file have folios of more than a page, up to `bytes`. The file
    /// system then fills any that it is given in one go.
    pub fn allow_large_folios(&self, bytes: usize) {
        let order = (bytes / crate::mem::pages::PAGE_SIZE)
            .checked_ilog2()
            .unwrap_or(0);
        // SAFETY: The inode is new, so nobody else uses its mapping.
        unsafe { bindings::fuse_rs_helper_set_max_folio_order((*self.as_ptr()).i_mapping, order) };
    }
}
