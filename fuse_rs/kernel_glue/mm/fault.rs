// SPDX-License-Identifier: GPL-2.0

//! Mappings of files.

use super::folio::LockedFolio;
use crate::bindings;
use crate::dax;
use crate::dax::DaxOperations;
use crate::mem::pages::PAGE_SIZE;
use crate::vfs::file::OpenFileRef;
use crate::vfs::inode::Inode;
use crate::vfs::FileSystem;
use core::marker::PhantomData;
use core::ops::Range;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::mm::virt::flags;
use kernel::prelude::*;

/// How a file is to be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Stores, if any, are not seen by others.
    Private,
    /// Nobody can store to it.
    ReadOnly,
    /// Stores change the file.
    Writable,
}

/// What the file system has to say to mappings, and to stores to them.
pub trait MapOperations: FileSystem {
    /// The file is about to be mapped, unless this gives an error.
    fn map(file: &OpenFileRef<'_, Self>, sharing: Sharing) -> Result;

    /// Waits until the pages of `range` may become dirty.
    ///
    /// # Errors
    ///
    /// `EINTR` when the caller is killed.
    fn before_store(inode: &Inode<Self>, range: Range<u64>) -> Result;

    /// Whether the pages of `range` may become dirty. The folio is locked, so this does not wait.
    fn may_store(inode: &Inode<Self>, range: Range<u64>) -> bool;

    /// A mapping that can be stored to is gone.
    fn unmapped(file: &OpenFileRef<'_, Self>);
}

/// The table of C callbacks of shared mappings that can be stored to.
pub(crate) struct MapTable<T>(PhantomData<T>);

impl<T: MapOperations> MapTable<T> {
    const TABLE: bindings::vm_operations_struct = bindings::vm_operations_struct {
        close: Some(close::<T>),
        fault: Some(bindings::filemap_fault),
        map_pages: Some(bindings::filemap_map_pages),
        page_mkwrite: Some(page_mkwrite::<T>),
        ..pin_init::zeroed()
    };

    pub(crate) const fn get() -> &'static bindings::vm_operations_struct {
        &Self::TABLE
    }
}

/// # Safety
///
/// Called by the VFS with a file of the file system and a mapping that is being made.
pub(crate) unsafe extern "C" fn mmap<T: MapOperations + DaxOperations>(
    file: *mut bindings::file,
    vma: *mut bindings::vm_area_struct,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let (open, flags) = unsafe {
            (
                OpenFileRef::<T>::from_raw(file),
                (*vma).__bindgen_anon_2.vm_flags,
            )
        };
        let writable = flags::SHARED | flags::MAYWRITE;
        let sharing = if flags & writable == writable {
            Sharing::Writable
        } else if flags & flags::MAYSHARE != 0 {
            Sharing::ReadOnly
        } else {
            Sharing::Private
        };
        T::map(&open, sharing)?;
        if open.inode().is_in_memory() {
            // SAFETY: The mapping is being made.
            unsafe { dax::fault::map::<T>(vma) };
        } else if sharing == Sharing::Writable {
            // SAFETY: The mapping is being made; the table lives for ever.
            unsafe { (*vma).vm_ops = MapTable::<T>::get() };
        } else {
            // SAFETY: By the safety requirements.
            to_result(unsafe { bindings::generic_file_readonly_mmap(file, vma) })?;
        }
        Ok(0)
    })
}

/// # Safety
///
/// Called by mm with a mapping of a file of the file system that goes away.
unsafe extern "C" fn close<T: MapOperations>(vma: *mut bindings::vm_area_struct) {
    // SAFETY: By the safety requirements; the mapping keeps its file.
    T::unmapped(unsafe { &OpenFileRef::from_raw((*vma).vm_file) });
}

/// # Safety
///
/// Called by mm for a store to a page of a file of the file system that is mapped read-only.
unsafe extern "C" fn page_mkwrite<T: MapOperations>(
    fault: *mut bindings::vm_fault,
) -> bindings::vm_fault_t {
    // SAFETY: By the safety requirements; the mapping keeps its file, which keeps the inode, and
    // the page is referenced during the fault.
    unsafe {
        let file = (*(*fault).__bindgen_anon_1.vma).vm_file;
        let folio = bindings::fuse_rs_helper_page_folio((*fault).page);
        let inode = Inode::<T>::from_raw(bindings::fuse_rs_helper_file_inode(file));
        // There is no need to keep the file system from being frozen: it has no such operation.
        let _ = bindings::file_update_time(file);
        match lock_for_store(inode, folio) {
            Ok(Some(folio)) => {
                folio.leave_locked();
                bindings::vm_fault_reason_VM_FAULT_LOCKED
            }
            // It is no longer the file's: the fault is tried again.
            Ok(None) => bindings::vm_fault_reason_VM_FAULT_NOPAGE,
            // Also for who is killed: a fault of the kernel's own would be tried again for ever.
            Err(_) => bindings::vm_fault_reason_VM_FAULT_SIGBUS,
        }
    }
}

/// Locks `folio` in a state in which it may become dirty; nothing if the file does not
/// have it any more. Nothing is waited for with the lock held.
///
/// After a store to one page of a large folio, mm lets all of its pages be stored to.
///
/// # Safety
///
/// There is a reference to the folio.
unsafe fn lock_for_store<T: MapOperations>(
    inode: &Inode<T>,
    folio: *mut bindings::folio,
) -> Result<Option<LockedFolio>> {
    loop {
        // SAFETY: By the safety requirements. The reference that is taken is given up with the
        // value, or here if there is no lock.
        let mut locked = unsafe {
            bindings::fuse_rs_helper_folio_get(folio);
            let error = bindings::fuse_rs_helper_folio_lock_killable(folio);
            if error != 0 {
                bindings::fuse_rs_helper_folio_put(folio);
                return Err(EINTR);
            }
            LockedFolio::from_raw(NonNull::new_unchecked(folio))
        };
        if !locked.is_in(inode.mapping()) {
            return Ok(None);
        }
        let start = locked.position();
        let size = locked.size();
        let range = start..start.saturating_add(size as u64);
        if T::may_store(inode, range.clone()) {
            if size > PAGE_SIZE {
                locked.add_dirty_bits(u64::MAX);
            }
            return Ok(Some(locked));
        }
        drop(locked);
        T::before_store(inode, range)?;
    }
}
