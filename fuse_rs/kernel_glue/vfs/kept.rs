// SPDX-License-Identifier: GPL-2.0

//! Times of inodes that the kernel keeps itself, and writes to wherever they belong later.

use super::attributes::Timestamp;
use super::inode::Inode;
use super::FileSystem;
use crate::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

impl<T: FileSystem> Inode<T> {
    /// Time of last status change.
    pub fn ctime(&self) -> Timestamp {
        // SAFETY: Racy reads of plain fields, as `inode_get_ctime` does.
        unsafe {
            Timestamp {
                sec: (&raw const (*self.as_ptr()).i_ctime_sec).read_volatile(),
                nsec: (&raw const (*self.as_ptr()).i_ctime_nsec).read_volatile(),
            }
        }
    }

    /// The present, as exact as the file system's times are.
    pub fn present(&self) -> Timestamp {
        // SAFETY: The inode is valid.
        Timestamp::from_c(&unsafe { bindings::current_time(self.as_ptr()) })
    }

    /// Sets the times of last modification and status change.
    pub fn set_change_times(&self, mtime: Timestamp, ctime: Timestamp) {
        // SAFETY: Plain fields of the file system's.
        unsafe {
            bindings::fuse_rs_helper_inode_set_mtime(self.as_ptr(), &mtime.to_c());
            bindings::inode_set_ctime_to_ts(self.as_ptr(), ctime.to_c());
        }
    }

    /// The times are to be written. Does not sleep.
    pub fn mark_times_dirty(&self) {
        // SAFETY: The inode is valid.
        unsafe {
            bindings::__mark_inode_dirty(self.as_ptr(), bindings::FUSE_RS_I_DIRTY_SYNC as i32)
        };
    }

    /// Has the times written if they are dirty.
    ///
    /// # Context
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// Those of the file system's.
    pub fn write_dirty_times(&self) -> Result {
        // SAFETY: The inode is valid.
        to_result(unsafe { bindings::sync_inode_metadata(self.as_ptr(), 1) })
    }
}
