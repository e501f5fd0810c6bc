// SPDX-License-Identifier: GPL-2.0

//! Inodes with data of the file system's.

use super::attributes::InodeAttributes;
use super::super_block::SuperBlock;
use super::FileSystem;
use crate::bindings;
use crate::mm::folio::LockedFolio;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::offset_of;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::aref::AlwaysRefCounted;
use kernel::types::NotThreadSafe;
use kernel::types::Opaque;

/// What is allocated for an inode.
#[repr(C)]
pub(super) struct Slot<T: FileSystem> {
    pub(super) data: MaybeUninit<T::Inode>,
    pub(super) inode: Opaque<bindings::inode>,
}

/// An inode of file system `T`.
///
/// # Invariants
///
/// The inode lies in a [`Slot`] whose data is initialised.
#[repr(transparent)]
pub struct Inode<T: FileSystem> {
    inode: Opaque<bindings::inode>,
    _fs: PhantomData<T>,
}

// SAFETY: Inodes are shared between threads; the file system's data is `Send` and `Sync`.
unsafe impl<T: FileSystem> Send for Inode<T> {}
// SAFETY: As above.
unsafe impl<T: FileSystem> Sync for Inode<T> {}

// SAFETY: `ihold` and `iput` count references to an inode.
unsafe impl<T: FileSystem> AlwaysRefCounted for Inode<T> {
    fn inc_ref(&self) {
        // SAFETY: A shared reference implies a reference count above zero.
        unsafe { bindings::ihold(self.as_ptr()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives up a reference.
        unsafe { bindings::iput(obj.as_ref().as_ptr()) };
    }
}

/// The result of looking an inode up by its key.
pub enum Got<T: FileSystem> {
    /// It was there.
    Existing(ARef<Inode<T>>),
    /// It is new: nobody else can use it until [`NewInode::finish`].
    New(NewInode<T>),
}

/// An inode that is not usable yet. Dropping it makes it go away.
pub struct NewInode<T: FileSystem>(pub(super) ARef<Inode<T>>);

impl<T: FileSystem> core::ops::Deref for NewInode<T> {
    type Target = Inode<T>;

    fn deref(&self) -> &Inode<T> {
        &self.0
    }
}

impl<T: FileSystem> NewInode<T> {
    /// Sets the operations for the type in `mode`, and makes the inode usable.
    pub fn finish(self, mode: u16, rdev: u32) -> ARef<Inode<T>>
    where
        T: super::inode_ops::InodeOperations
            + super::dir_ops::DirOperations
            + super::file_ops::FileOperations
            + super::io::IoOperations
            + super::ioctl::IoctlOperations
            + super::lock::LockOperations
            + super::poll::PollOperations
            + super::page_ops::PageOperations
            + crate::dax::DaxOperations
            + crate::mm::fault::MapOperations
            + crate::mm::writeback::WritebackOperations,
    {
        let inode = self.0.as_ptr();
        // SAFETY: The inode is new, so nobody else looks at these fields.
        unsafe {
            (*inode).i_mode = mode;
            if !T::judges_by_acls(&self.0) {
                // Access control lists are for whoever stores them: none is ever kept here.
                let none = bindings::FUSE_RS_ACL_DONT_CACHE as usize;
                (*inode).i_acl = none as *mut bindings::posix_acl;
                (*inode).i_default_acl = (*inode).i_acl;
            }
            (*inode).i_flags |= bindings::S_NOATIME;
            if !T::keeps_times(&self.0) {
                (*inode).i_flags |= bindings::FUSE_RS_S_NOCMTIME as u32;
            }
            match u32::from(mode) & bindings::S_IFMT {
                bindings::S_IFREG => {
                    (*inode).i_op = super::inode_ops::FileTable::<T>::get();
                    (*inode).__bindgen_anon_3.i_fop = super::file_ops::FileTable::<T>::get();
                    (*inode).i_data.a_ops = if self.0.is_in_memory() {
                        super::page_ops::IN_MEMORY
                    } else {
                        super::page_ops::PageTable::<T>::get()
                    };
                }
                bindings::S_IFDIR => {
                    (*inode).i_op = super::dir_ops::DirTable::<T>::get();
                    (*inode).__bindgen_anon_3.i_fop = super::file_ops::DirTable::<T>::get();
                }
                bindings::S_IFLNK => {
                    (*inode).i_op = super::inode_ops::SymlinkTable::<T>::get();
                }
                _ => {
                    (*inode).i_op = super::inode_ops::FileTable::<T>::get();
                    let dev = bindings::fuse_rs_helper_decode_dev(rdev);
                    bindings::init_special_inode(inode, mode, dev);
                }
            }
            if bindings::fuse_rs_helper_inode_is_new(inode) {
                bindings::unlock_new_inode(inode);
            }
        }
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, so the reference is moved out once.
        unsafe { core::ptr::read(&this.0) }
    }
}

impl<T: FileSystem> Drop for NewInode<T> {
    fn drop(&mut self) {
        // SAFETY: If the inode is locked it is new; this takes it out of the hash and drops one
        // reference, so we take another for the field's drop.
        unsafe {
            if bindings::fuse_rs_helper_inode_is_new(self.0.as_ptr()) {
                bindings::ihold(self.0.as_ptr());
                bindings::iget_failed(self.0.as_ptr());
            }
        }
    }
}

/// Keeps others from changing an inode. The task that has locked the inode has to unlock it.
pub struct InodeGuard<'a, T: FileSystem>(&'a Inode<T>, NotThreadSafe);

impl<T: FileSystem> Drop for InodeGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The guard holds the lock.
        unsafe { bindings::fuse_rs_helper_inode_unlock(self.0.as_ptr()) };
    }
}

/// The inode is locked for those who do not exclude each other.
pub struct SharedInodeGuard<'a, T: FileSystem>(&'a Inode<T>, NotThreadSafe);

impl<T: FileSystem> Drop for SharedInodeGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The guard holds the lock.
        unsafe { bindings::fuse_rs_helper_inode_unlock_shared(self.0.as_ptr()) };
    }
}

impl<T: FileSystem> Inode<T> {
    /// The access control lists may be others by now.
    pub fn forget_acls(&self) {
        // SAFETY: The inode is valid; the lists synchronise themselves.
        unsafe { bindings::forget_all_cached_acls(self.as_ptr()) };
    }

    /// Wraps an inode of this file system.
    ///
    /// # Safety
    ///
    /// `inode` is valid for `'a` and was allocated by this file system.
    pub(crate) unsafe fn from_raw<'a>(inode: *mut bindings::inode) -> &'a Self {
        // SAFETY: By the safety requirements; the type is transparent.
        unsafe { &*inode.cast() }
    }

    /// Takes over a reference.
    ///
    /// # Safety
    ///
    /// `inode` was allocated by this file system and the caller gives up one reference.
    pub(crate) unsafe fn from_raw_owned(inode: NonNull<bindings::inode>) -> ARef<Self> {
        // SAFETY: By the safety requirements.
        unsafe { ARef::from_raw(inode.cast()) }
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::inode {
        self.inode.get()
    }

    pub(super) fn slot_of(inode: *mut bindings::inode) -> *mut Slot<T> {
        inode
            .cast::<u8>()
            .wrapping_sub(offset_of!(Slot<T>, inode))
            .cast()
    }

    /// The file system's data.
    #[inline]
    pub fn data(&self) -> &T::Inode {
        // SAFETY: By the type's invariants.
        unsafe { (*Self::slot_of(self.as_ptr())).data.assume_init_ref() }
    }

    /// The super block.
    #[inline]
    pub fn super_block(&self) -> &SuperBlock<T> {
        // SAFETY: An inode's super block outlives it.
        unsafe { SuperBlock::from_raw((*self.as_ptr()).i_sb) }
    }

    /// Type and permission bits.
    #[inline]
    pub fn mode(&self) -> u16 {
        // SAFETY: A racy read of a plain field, as everywhere in the kernel.
        unsafe { (&raw const (*self.as_ptr()).i_mode).read_volatile() }
    }

    /// Whether this is a regular file.
    pub fn is_regular(&self) -> bool {
        u32::from(self.mode()) & bindings::S_IFMT == bindings::S_IFREG
    }

    /// Whether the whole file system is read-only.
    pub fn is_read_only(&self) -> bool {
        // SAFETY: An inode has a super block; a racy read, as everywhere in the kernel.
        let flags = unsafe { (&raw const (*(*self.as_ptr()).i_sb).s_flags).read_volatile() };
        flags & bindings::FUSE_RS_SB_RDONLY as usize != 0
    }

    /// Whether this is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        u32::from(self.mode()) & bindings::S_IFMT == bindings::S_IFLNK
    }

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        u32::from(self.mode()) & bindings::S_IFMT == bindings::S_IFDIR
    }

    /// Whether another type of file than `mode` says.
    pub fn differs_in_type(&self, mode: u16) -> bool {
        u32::from(self.mode() ^ mode) & bindings::S_IFMT != 0
    }

    /// The group.
    pub fn group(&self) -> super::caller::Gid {
        // SAFETY: A racy read of a plain field, as everywhere in the kernel.
        super::caller::Gid(unsafe { (&raw const (*self.as_ptr()).i_gid).read_volatile() })
    }

    /// Size in bytes.
    #[inline]
    pub fn size(&self) -> u64 {
        // SAFETY: On 64-bit machines this is `i_size_read`.
        unsafe { (&raw const (*self.as_ptr()).i_size).read_volatile() as u64 }
    }

    /// Sets the size. Callers exclude each other by a lock of the file system's.
    pub fn set_size(&self, size: u64) {
        // SAFETY: On 64-bit machines this is `i_size_write`.
        unsafe {
            (&raw mut (*self.as_ptr()).i_size).write_volatile(size.min(i64::MAX as u64) as i64)
        };
    }

    /// Sets the inode number users see.
    pub fn set_number(&self, ino: u64) {
        // SAFETY: A plain field of the file system's.
        unsafe { (&raw mut (*self.as_ptr()).i_ino).write_volatile(ino) };
    }

    /// Sets the generation.
    pub fn set_generation(&self, generation: u32) {
        // SAFETY: A plain field of the file system's.
        unsafe { (&raw mut (*self.as_ptr()).i_generation).write_volatile(generation) };
    }

    /// The generation.
    pub fn generation(&self) -> u32 {
        // SAFETY: A plain field of the file system's.
        unsafe { (&raw const (*self.as_ptr()).i_generation).read_volatile() }
    }

    /// Time of last modification in seconds and nanoseconds.
    pub fn mtime(&self) -> super::attributes::Timestamp {
        // SAFETY: Racy reads of plain fields, as `inode_get_mtime` does.
        unsafe {
            super::attributes::Timestamp {
                sec: (&raw const (*self.as_ptr()).i_mtime_sec).read_volatile(),
                nsec: (&raw const (*self.as_ptr()).i_mtime_nsec).read_volatile(),
            }
        }
    }

    /// Sets everything but type and size; what else the file carries may be new, too. Callers
    /// exclude each other by a lock of the file system's; readers see field by field, as they do
    /// with every file system.
    pub fn set_attributes(&self, attr: &InodeAttributes) {
        let inode = self.as_ptr();
        // SAFETY: Plain fields that the file system owns.
        unsafe {
            let mode = (*inode).i_mode & bindings::S_IFMT as u16 | attr.perm & 0o7777;
            (&raw mut (*inode).i_mode).write_volatile(mode);
            (*inode).i_uid = attr.uid.0;
            (*inode).i_gid = attr.gid.0;
            (*inode).i_blocks = attr.blocks;
            bindings::set_nlink(inode, attr.nlink);
            bindings::fuse_rs_helper_inode_set_times(
                inode,
                &attr.atime.to_c(),
                &attr.mtime.to_c(),
                &attr.ctime.to_c(),
            );
            // Privileges are looked for again before the next write.
            if (&raw const (*inode).i_flags).read_volatile() & bindings::FUSE_RS_S_NOSEC as u32 != 0
            {
                bindings::inode_set_flags(inode, 0, bindings::FUSE_RS_S_NOSEC as u32);
            }
        }
    }

    /// Whether the inode has a name, as far as is known.
    pub fn has_links(&self) -> bool {
        // SAFETY: A racy read of a plain field, as everywhere in the kernel.
        unsafe { (&raw const (*self.as_ptr()).__bindgen_anon_1.i_nlink).read_volatile() > 0 }
    }

    /// Removes one link from the count, not below zero.
    pub fn drop_link(&self) {
        // SAFETY: The count is a field that the file system owns; zero is left alone.
        unsafe {
            if (*self.as_ptr()).__bindgen_anon_1.i_nlink > 0 {
                bindings::drop_nlink(self.as_ptr());
            }
        }
    }

    /// Removes all links from the count.
    pub fn clear_links(&self) {
        // SAFETY: The count is a field that the file system owns.
        unsafe { bindings::clear_nlink(self.as_ptr()) };
    }

    /// Takes the inode out of the table of inodes, so that it is not found again.
    pub fn unhash(&self) {
        // SAFETY: The inode is valid.
        unsafe { bindings::__remove_inode_hash(self.as_ptr()) };
    }

    /// Locks the inode against other changes (`i_rwsem`).
    ///
    /// # Context
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `EINTR` when the caller is killed.
    pub fn lock(&self) -> Result<InodeGuard<'_, T>> {
        // SAFETY: The inode is valid; the guard unlocks.
        to_result(unsafe { bindings::fuse_rs_helper_inode_lock_killable(self.as_ptr()) })?;
        Ok(InodeGuard(self, NotThreadSafe))
    }

    /// As [`Inode::lock`], beside others who do the same.
    pub fn lock_shared(&self) -> Result<SharedInodeGuard<'_, T>> {
        // SAFETY: The inode is valid; the guard unlocks.
        to_result(unsafe { bindings::fuse_rs_helper_inode_lock_shared_killable(self.as_ptr()) })?;
        Ok(SharedInodeGuard(self, NotThreadSafe))
    }

    /// Whether anything is cached.
    pub fn has_pages(&self) -> bool {
        // SAFETY: The mapping is valid as long as the inode; a racy read, as everywhere in the
        // kernel.
        unsafe { (&raw const (*self.mapping()).nrpages).read_volatile() != 0 }
    }

    /// As [`Inode::lock`], for a directory of which an entry's inode will be locked, too.
    pub(crate) fn lock_as_parent(&self) -> Result<InodeGuard<'_, T>> {
        // SAFETY: The inode is valid; the guard unlocks.
        to_result(unsafe { bindings::fuse_rs_helper_inode_lock_parent_killable(self.as_ptr()) })?;
        Ok(InodeGuard(self, NotThreadSafe))
    }

    /// Checks whether the caller may give the file this size: against limits, and the use as swap
    /// space. The inode is locked.
    pub fn check_new_size(&self, size: u64) -> Result {
        let size = i64::try_from(size).map_err(|_| EFBIG)?;
        // SAFETY: The inode is valid.
        to_result(unsafe { bindings::inode_newsize_ok(self.as_ptr(), size) })
    }

    /// Waits until no folio with bytes from `start` up to `end` is locked, each for itself.
    ///
    /// # Context
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `EINTR` when the caller is killed.
    pub fn wait_for_folios(&self, start: u64, end: u64) -> Result {
        let page = crate::mem::pages::PAGE_SIZE as u64;
        let mut next = (start / page) as usize;
        let last = (end.saturating_sub(1) / page) as usize;
        let mut batch = core::mem::MaybeUninit::<bindings::folio_batch>::zeroed();
        let batch = batch.as_mut_ptr();
        loop {
            // SAFETY: The mapping is valid as long as the inode; the batch is an empty one, and
            // is emptied below.
            let found =
                unsafe { bindings::filemap_get_folios(self.mapping(), &mut next, last, batch) };
            if found == 0 {
                return Ok(());
            }
            let mut waited = Ok(());
            for index in 0..found {
                // SAFETY: The batch holds as many folios, with a reference to each.
                let error = unsafe { bindings::fuse_rs_helper_folio_batch_wait(batch, index) };
                waited = to_result(error);
                if waited.is_err() {
                    break;
                }
            }
            // SAFETY: Gives the references up, and empties the batch.
            unsafe { bindings::fuse_rs_helper_folio_batch_release(batch) };
            waited.map_err(|_| EINTR)?;
        }
    }

    pub(crate) fn mapping(&self) -> *mut bindings::address_space {
        // SAFETY: Every inode has a mapping.
        unsafe { (*self.as_ptr()).i_mapping }
    }

    /// Drops cached pages behind `size`, also from mappings.
    ///
    /// # Context
    ///
    /// May sleep.
    pub fn truncate_pages(&self, size: u64) {
        // SAFETY: The inode is valid.
        unsafe { bindings::truncate_pagecache(self.as_ptr(), size.min(i64::MAX as u64) as i64) };
    }

    /// Drops all cached pages, also from mappings.
    ///
    /// # Context
    ///
    /// May sleep, also for pages that are being read.
    pub fn invalidate_pages(&self) {
        // SAFETY: The mapping is valid as long as the inode.
        unsafe { bindings::invalidate_inode_pages2(self.mapping()) };
    }

    /// Drops the cached pages of a range of bytes, also from mappings.
    ///
    /// # Context
    ///
    /// May sleep.
    pub fn invalidate_range(&self, start: u64, len: u64) {
        let first = start / crate::mem::pages::PAGE_SIZE as u64;
        let last =
            start.saturating_add(len.saturating_sub(1)) / crate::mem::pages::PAGE_SIZE as u64;
        if len > 0 {
            // SAFETY: The mapping is valid as long as the inode.
            unsafe {
                bindings::invalidate_inode_pages2_range(
                    self.mapping(),
                    first as usize,
                    last as usize,
                )
            };
        }
    }

    /// The cached folio at page `index`, locked, to be written to; made if it is not there and
    /// `create` is set.
    ///
    /// # Context
    ///
    /// May sleep.
    pub fn lock_cached_folio(&self, index: u64, create: bool) -> Option<LockedFolio> {
        // SAFETY: The mapping is valid as long as the inode.
        let folio = unsafe {
            bindings::fuse_rs_helper_lock_cached_folio(self.mapping(), index as usize, create)
        };
        let folio = kernel::error::from_err_ptr(folio).ok()?;
        // SAFETY: The folio is locked and comes with a reference.
        NonNull::new(folio).map(|folio| unsafe { LockedFolio::from_raw(folio) })
    }
}

/// Compares an inode's key.
///
/// # Safety
///
/// Called by `iget5_locked` with an inode of the file system and a pointer to a key.
unsafe extern "C" fn test_key<T: FileSystem>(inode: *mut bindings::inode, key: *mut c_void) -> i32 {
    // SAFETY: By the safety requirements.
    let (inode, key) = unsafe { (Inode::<T>::from_raw(inode), *key.cast::<u64>()) };
    (T::key(inode.data()) == key).into()
}

/// Gives a new inode its key.
///
/// # Safety
///
/// As for [`test_key`].
unsafe extern "C" fn set_key<T: FileSystem>(inode: *mut bindings::inode, key: *mut c_void) -> i32 {
    // SAFETY: By the safety requirements.
    let (inode, key) = unsafe { (Inode::<T>::from_raw(inode), *key.cast::<u64>()) };
    T::set_key(inode.data(), key);
    0
}

impl<T: FileSystem> SuperBlock<T> {
    /// The inode with this key, if there is one.
    ///
    /// # Context
    ///
    /// May sleep, for an inode that is being made or evicted.
    pub fn find_inode(&self, key: u64) -> Option<ARef<Inode<T>>> {
        let mut key_slot = key;
        let arg = (&raw mut key_slot).cast();
        // SAFETY: The super block is live; the callback fits its argument, which outlives the
        // call.
        let inode = unsafe { bindings::ilookup5(self.as_ptr(), key, Some(test_key::<T>), arg) };
        // SAFETY: The inode comes with a reference.
        NonNull::new(inode).map(|inode| unsafe { Inode::<T>::from_raw_owned(inode) })
    }

    /// The inode with this key; made if it does not exist.
    ///
    /// # Context
    ///
    /// May sleep, also for an inode that is being made or evicted.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn inode(&self, key: u64) -> Result<Got<T>> {
        let mut key_slot = key;
        let arg = (&raw mut key_slot).cast();
        // SAFETY: The super block is live; the callbacks fit their argument, which outlives the
        // call.
        let inode = unsafe {
            bindings::iget5_locked(
                self.as_ptr(),
                key,
                Some(test_key::<T>),
                Some(set_key::<T>),
                arg,
            )
        };
        let inode = NonNull::new(inode).ok_or(ENOMEM)?;
        // SAFETY: The inode comes with a reference.
        let inode = unsafe { Inode::<T>::from_raw_owned(inode) };
        // SAFETY: The inode is valid.
        if unsafe { bindings::fuse_rs_helper_inode_is_new(inode.as_ptr()) } {
            Ok(Got::New(NewInode(inode)))
        } else {
            Ok(Got::Existing(inode))
        }
    }
}
