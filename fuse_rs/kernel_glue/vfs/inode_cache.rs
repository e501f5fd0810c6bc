// SPDX-License-Identifier: GPL-2.0

//! Where inodes are allocated.

use super::inode::Inode;
use super::inode::Slot;
use super::FileSystem;
use crate::bindings;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::atomic::Acquire;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Relaxed;
use kernel::sync::atomic::Release;

/// Where inodes of a file system are allocated.
pub struct InodeCache<T: FileSystem> {
    cache: Atomic<usize>,
    _fs: PhantomData<fn() -> T>,
}

impl<T: FileSystem> InodeCache<T> {
    /// Not ready yet.
    pub const fn new() -> Self {
        Self {
            cache: Atomic::new(0),
            _fs: PhantomData,
        }
    }

    fn get(&self) -> *mut bindings::kmem_cache {
        self.cache.load(Acquire) as *mut bindings::kmem_cache
    }

    /// Makes the cache. It lives as long as the returned value.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EBUSY` if it exists.
    pub fn create(&'static self, name: &'static CStr) -> Result<InodeCacheOwner<T>> {
        if self.cache.load(Relaxed) != 0 {
            return Err(EBUSY);
        }
        // SAFETY: The name lives for ever and the constructor fits the objects.
        let cache = unsafe {
            bindings::fuse_rs_helper_inode_cache(
                name.as_char_ptr(),
                core::mem::size_of::<Slot<T>>() as u32,
                Some(construct::<T>),
            )
        };
        let cache = NonNull::new(cache).ok_or(ENOMEM)?;
        self.cache.store(cache.as_ptr() as usize, Release);
        Ok(InodeCacheOwner(self))
    }
}

impl<T: FileSystem> Default for InodeCache<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Keeps an [`InodeCache`] in existence.
pub struct InodeCacheOwner<T: FileSystem + 'static>(&'static InodeCache<T>);

impl<T: FileSystem> Drop for InodeCacheOwner<T> {
    fn drop(&mut self) {
        let cache = self.0.get();
        self.0.cache.store(0, Release);
        // SAFETY: All file system types that allocate from the cache are gone; the barrier waits
        // for inodes that are being freed by RCU.
        unsafe {
            bindings::rcu_barrier();
            bindings::kmem_cache_destroy(cache);
        }
    }
}

/// Prepares a fresh object of the cache.
///
/// # Safety
///
/// Called by the slab allocator with an object of its size.
unsafe extern "C" fn construct<T: FileSystem>(object: *mut c_void) {
    let slot = object.cast::<Slot<T>>();
    // SAFETY: The object is large enough and not used by anybody.
    unsafe { bindings::inode_init_once((&raw mut (*slot).inode).cast()) };
}

/// `alloc_inode`.
///
/// # Safety
///
/// Called by the VFS with a super block of the file system.
pub(crate) unsafe extern "C" fn alloc_inode<T: FileSystem>(
    sb: *mut bindings::super_block,
) -> *mut bindings::inode {
    // SAFETY: Super block and cache are valid while the file system is mounted.
    let slot = unsafe { bindings::fuse_rs_helper_alloc_inode_sb(sb, T::inode_cache().get()) };
    let slot = slot.cast::<Slot<T>>();
    if slot.is_null() {
        return core::ptr::null_mut();
    }
    // SAFETY: The data is uninitialised memory of the right size that stays where it is.
    let made = unsafe { pin_init::raw_try_init((&raw mut (*slot).data).cast(), T::new_inode()) };
    if made.is_err() {
        // SAFETY: The object came from this cache.
        unsafe { bindings::kmem_cache_free(T::inode_cache().get(), slot.cast()) };
        return core::ptr::null_mut();
    }
    // SAFETY: The object was constructed by `construct`.
    unsafe { (&raw mut (*slot).inode).cast() }
}

/// `free_inode`.
///
/// # Safety
///
/// Called by the VFS, after an RCU grace period, with an inode that nobody uses any more.
pub(crate) unsafe extern "C" fn free_inode<T: FileSystem>(inode: *mut bindings::inode) {
    let slot = Inode::<T>::slot_of(inode);
    // SAFETY: The data was initialised in `alloc_inode` and nobody uses it any more.
    unsafe {
        (*slot).data.assume_init_drop();
        bindings::kmem_cache_free(T::inode_cache().get(), slot.cast());
    }
}
