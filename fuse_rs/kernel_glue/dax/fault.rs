// SPDX-License-Identifier: GPL-2.0

//! Mappings of files in a device's memory.

use super::io::FindTable;
use super::DaxOperations;
use crate::bindings;
use crate::mem::pages::PAGE_SIZE;
use crate::vfs::inode::Inode;
use core::marker::PhantomData;
use kernel::mm::virt::flags;
use kernel::prelude::*;

/// The table of C callbacks of mappings.
pub(crate) struct MapTable<T>(PhantomData<T>);

impl<T: DaxOperations> MapTable<T> {
    const TABLE: bindings::vm_operations_struct = bindings::vm_operations_struct {
        fault: Some(fault::<T>),
        huge_fault: Some(huge_fault::<T>),
        page_mkwrite: Some(store::<T>),
        pfn_mkwrite: Some(store::<T>),
        ..pin_init::zeroed()
    };

    pub(crate) const fn get() -> &'static bindings::vm_operations_struct {
        &Self::TABLE
    }
}

/// Makes `vma`, which is being made, a mapping of a file in memory.
///
/// # Safety
///
/// `vma` is valid, of a file of the file system, and not in use yet.
pub(crate) unsafe fn map<T: DaxOperations>(vma: *mut bindings::vm_area_struct) {
    // SAFETY: By the safety requirements; the table lives for ever.
    unsafe {
        (*vma).vm_ops = MapTable::<T>::get();
        bindings::fuse_rs_helper_set_dax_mapping(vma);
    }
}

/// # Safety
///
/// Called by mm with a fault in a mapping of the table.
unsafe extern "C" fn fault<T: DaxOperations>(
    fault: *mut bindings::vm_fault,
) -> bindings::vm_fault_t {
    // SAFETY: By the safety requirements.
    unsafe { handle::<T>(fault, 0, false) }
}

/// # Safety
///
/// As for [`fault`].
unsafe extern "C" fn huge_fault<T: DaxOperations>(
    fault: *mut bindings::vm_fault,
    order: u32,
) -> bindings::vm_fault_t {
    // SAFETY: By the safety requirements.
    unsafe { handle::<T>(fault, order, false) }
}

/// # Safety
///
/// As for [`fault`], for a store to a page that is mapped read-only.
unsafe extern "C" fn store<T: DaxOperations>(
    fault: *mut bindings::vm_fault,
) -> bindings::vm_fault_t {
    // SAFETY: By the safety requirements.
    unsafe { handle::<T>(fault, 0, true) }
}

/// # Safety
///
/// As for [`fault`].
unsafe fn handle<T: DaxOperations>(
    fault: *mut bindings::vm_fault,
    order: u32,
    store: bool,
) -> bindings::vm_fault_t {
    // SAFETY: By the safety requirements; the mapping keeps its file, which keeps the inode.
    let (file, shared, index) = unsafe {
        let common = &(*fault).__bindgen_anon_1;
        let shared = (*common.vma).__bindgen_anon_2.vm_flags & flags::SHARED != 0;
        ((*common.vma).vm_file, shared, common.pgoff)
    };
    // SAFETY: By the safety requirements.
    let stores = store || unsafe { (*fault).flags } & bindings::fault_flag_FAULT_FLAG_WRITE != 0;
    // A store to a private mapping changes a copy.
    let write = stores && shared;
    // SAFETY: The file is valid, and so are its inode and super block.
    unsafe {
        let raw = bindings::fuse_rs_helper_file_inode(file);
        let inode = Inode::<T>::from_raw(raw);
        if write {
            bindings::fuse_rs_helper_start_pagefault((*raw).i_sb);
        }
        let result = find_and_map::<T>(inode, fault, order, index as u64, write);
        if write {
            bindings::fuse_rs_helper_end_pagefault((*raw).i_sb);
        }
        result
    }
}

/// # Safety
///
/// As for [`fault`], of a page of `inode`.
unsafe fn find_and_map<T: DaxOperations>(
    inode: &Inode<T>,
    fault: *mut bindings::vm_fault,
    order: u32,
    index: u64,
    write: bool,
) -> bindings::vm_fault_t {
    let position = index.saturating_mul(PAGE_SIZE as u64);
    let hold = match T::before_fault(inode, position, write) {
        Ok(hold) => hold,
        Err(ENOMEM) => return bindings::vm_fault_reason_VM_FAULT_OOM,
        Err(_) => return bindings::vm_fault_reason_VM_FAULT_SIGBUS,
    };
    // SAFETY: By the safety requirements.
    let result = unsafe { map_found::<T>(inode, fault, order) };
    if let Some(hold) = hold {
        T::leave(inode, hold);
    }
    result
}

/// Maps what is found without waiting.
///
/// # Safety
///
/// As for [`fault`], of a page of `inode`.
unsafe fn map_found<T: DaxOperations>(
    inode: &Inode<T>,
    fault: *mut bindings::vm_fault,
    order: u32,
) -> bindings::vm_fault_t {
    let lock = inode.fault_lock();
    // SAFETY: The lock is valid, and unlocked below. By the safety requirements the rest is, too.
    unsafe {
        if bindings::down_read_killable(lock) != 0 {
            // A fault of the kernel's own would be tried again for ever.
            return bindings::vm_fault_reason_VM_FAULT_SIGBUS;
        }
        let (mut frame, mut error) = (0, 0);
        let result =
            bindings::dax_iomap_fault(fault, order, &mut frame, &mut error, FindTable::<T>::get());
        bindings::up_read(lock);
        if error == -(bindings::EAGAIN as i32) {
            // It was not there when the fault began, or is gone again: the access is tried again.
            return bindings::vm_fault_reason_VM_FAULT_NOPAGE;
        }
        result
    }
}
