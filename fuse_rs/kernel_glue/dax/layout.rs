// SPDX-License-Identifier: GPL-2.0

//! Taking memory away from those who have mapped or pinned it.

use crate::bindings;
use crate::vfs::inode::Inode;
use crate::vfs::inode::NewInode;
use crate::vfs::super_block::SuperBlock;
use crate::vfs::FileSystem;
use core::ops::Range;
use core::ptr::NonNull;
use kernel::container_of;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::types::NotThreadSafe;

/// As long as it lives, no page of a file gets mapped.
pub struct FaultsBlocked<'a, T: FileSystem>(&'a Inode<T>, NotThreadSafe);

impl<T: FileSystem> NewInode<T> {
    /// The file is in memory of a device, instead of a page cache.
    pub fn use_memory(&self) {
        // SAFETY: The inode is new, so nobody else looks at the field.
        unsafe { (*self.as_ptr()).i_flags |= bindings::S_DAX };
    }
}

impl<T: FileSystem> Inode<T> {
    /// Whether the file is in memory of a device.
    pub fn is_in_memory(&self) -> bool {
        // SAFETY: A racy read of a plain field, as everywhere in the kernel; the bit does not change.
        let flags = unsafe { (&raw const (*self.as_ptr()).i_flags).read_volatile() };
        flags & bindings::S_DAX != 0
    }

    /// Once nobody uses the inode any more, it is not kept, nor are its names.
    ///
    /// # Context
    ///
    /// May sleep.
    pub fn keep_no_longer(&self) {
        // SAFETY: The inode is valid.
        unsafe { bindings::d_mark_dontcache(self.as_ptr()) };
    }

    pub(super) fn fault_lock(&self) -> *mut bindings::rw_semaphore {
        // SAFETY: The mapping is valid as long as the inode.
        unsafe { &raw mut (*self.mapping()).invalidate_lock }
    }

    /// Keeps pages of the file from being mapped.
    ///
    /// # Context
    ///
    /// May sleep. The inode may be locked.
    ///
    /// # Errors
    ///
    /// `EINTR` when the caller is killed.
    pub fn block_faults(&self) -> Result<FaultsBlocked<'_, T>> {
        // SAFETY: The lock is valid; the value unlocks it.
        to_result(unsafe { bindings::down_write_killable(self.fault_lock()) })?;
        Ok(FaultsBlocked(self, NotThreadSafe))
    }

    /// As [`Inode::block_faults`], if nobody is about to map a page or keeps others from it.
    pub fn try_block_faults(&self) -> Option<FaultsBlocked<'_, T>> {
        // SAFETY: As above.
        let locked = unsafe { bindings::down_write_trylock(self.fault_lock()) } != 0;
        locked.then(|| FaultsBlocked(self, NotThreadSafe))
    }
}

impl<T: FileSystem> SuperBlock<T> {
    /// Unmaps all files in memory, from which nobody gets any pages any more, and takes those pages
    /// out of them that nobody has pinned.
    ///
    /// # Context
    ///
    /// May sleep.
    pub fn unmap_memory(&self) {
        let mut last = None;
        while let Some(inode) = self.next_in_memory(last.as_ref()) {
            // SAFETY: The lock is valid; the value unlocks it.
            unsafe { bindings::down_write(inode.fault_lock()) };
            FaultsBlocked(&inode, NotThreadSafe).unmap(0..u64::MAX);
            last = Some(inode);
        }
    }

    /// The inode of a file in memory that comes behind another in the list of all, or the first.
    fn next_in_memory(&self, last: Option<&ARef<Inode<T>>>) -> Option<ARef<Inode<T>>> {
        // SAFETY: The super block is valid, and its list is locked. An inode stays in it as long as
        // there is a reference, and there is one to the last; `igrab` gets one if the inode is not
        // being evicted.
        let found = unsafe {
            let lock = &raw mut (*self.as_ptr()).s_inode_list_lock;
            let head = &raw mut (*self.as_ptr()).s_inodes;
            let mut found = None;
            bindings::spin_lock(lock);
            let mut place = last.map_or((*head).next, |last| (*last.as_ptr()).i_sb_list.next);
            while found.is_none() && place != head {
                let raw = container_of!(place, bindings::inode, i_sb_list);
                if Inode::<T>::from_raw(raw).is_in_memory() {
                    found = NonNull::new(bindings::igrab(raw));
                }
                place = (*place).next;
            }
            bindings::spin_unlock(lock);
            found
        };
        // SAFETY: The inode comes with a reference.
        found.map(|inode| unsafe { Inode::<T>::from_raw_owned(inode) })
    }
}

impl<T: FileSystem> FaultsBlocked<'_, T> {
    /// Unmaps all of the file, and waits until nobody has pinned any of its memory. While it waits,
    /// pages may get mapped.
    ///
    /// # Context
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` when a signal came first.
    pub fn unmap_all(&mut self) -> Result {
        // SAFETY: The inode is valid, and the lock that the callback gives up is held.
        to_result(unsafe {
            bindings::dax_break_layout(self.0.as_ptr(), 0, i64::MAX, Some(wait_for_pins))
        })
    }

    /// Unmaps a range of bytes; whether it is unused now, since nobody has pinned it.
    ///
    /// # Context
    ///
    /// May sleep, but does not wait for those who have pinned it.
    pub fn unmap(&mut self, range: Range<u64>) -> bool {
        let at = |position: u64| i64::try_from(position).unwrap_or(i64::MAX);
        if range.is_empty() {
            return true;
        }
        let (first, last) = (at(range.start), at(range.end.saturating_sub(1)));
        // SAFETY: The inode is valid; without a callback nobody is waited for.
        unsafe { bindings::dax_break_layout(self.0.as_ptr(), first, last, None) == 0 }
    }
}

impl<T: FileSystem> Drop for FaultsBlocked<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The lock is held by this task.
        unsafe { bindings::up_write(self.0.fault_lock()) };
    }
}

/// Sleeps until somebody who has pinned memory of the file may have given it up.
///
/// # Safety
///
/// Called with an inode whose faults are blocked by the caller, who is about to sleep.
unsafe extern "C" fn wait_for_pins(inode: *mut bindings::inode) {
    // SAFETY: By the safety requirements. Who has pinned memory may need a fault to get on.
    unsafe {
        let lock = &raw mut (*(*inode).i_mapping).invalidate_lock;
        bindings::up_write(lock);
        bindings::schedule();
        bindings::down_write(lock);
    }
}
