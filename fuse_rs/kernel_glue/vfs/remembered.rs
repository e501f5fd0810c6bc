// SPDX-License-Identifier: GPL-2.0

//! Directory entries that are remembered without being kept.

use super::dentry::DentryOperations;
use super::super_block::SuperBlock;
use super::FileSystem;
use crate::bindings;
use crate::list::Link;
use crate::list::Linked;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use kernel::new_spinlock;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::sync::SpinLock;

/// An address of an entry.
struct Address(NonNull<bindings::dentry>);

// SAFETY: It is used under a lock only, see `Remembered`.
unsafe impl Send for Address {}

/// An entry that may be gone.
///
/// # Invariants
///
/// While `entry` is locked and holds an address, the memory of the entry there is not freed.
#[pin_data]
pub struct Remembered<T: FileSystem> {
    link: Link<Self>,
    /// None once the entry is gone.
    #[pin]
    entry: SpinLock<Option<Address>>,
    /// The file system's data.
    pub data: T::Entry,
    _fs: PhantomData<T>,
}

// SAFETY: The link is a field of the value itself.
unsafe impl<T: FileSystem> Linked<0> for Remembered<T> {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl<T: FileSystem> Remembered<T> {
    /// How long the entry may be believed, as stored; none if it is gone.
    pub fn belief(&self) -> Option<u64> {
        let entry = self.entry.lock();
        let entry = entry.as_ref()?;
        // SAFETY: By the type's invariants. A race gives an older or newer value.
        Some(unsafe { (&raw const (*entry.0.as_ptr()).d_time).read_volatile() as u64 })
    }

    /// Drops the entry if nobody uses it; whether it is gone now.
    ///
    /// # Context
    ///
    /// May sleep.
    pub fn drop_unused(&self) -> bool {
        let mut list = MaybeUninit::<bindings::list_head>::uninit();
        let list = list.as_mut_ptr();
        // SAFETY: The list does not move, and is empty again in the end.
        unsafe { bindings::INIT_LIST_HEAD(list) };
        let moved = match &*self.entry.lock() {
            // SAFETY: By the type's invariants; the list is a valid one.
            Some(entry) => unsafe {
                bindings::fuse_rs_helper_move_to_shrink_list(entry.0.as_ptr(), list)
            },
            None => return true,
        };
        // SAFETY: Who is on a shrink list is freed by whoever has put it there.
        unsafe { bindings::shrink_dentry_list(list) };
        moved && self.entry.lock().is_none()
    }
}

/// Remembers a new entry. If there is no memory for that, it is not remembered.
///
/// # Safety
///
/// Called by the VFS with an entry of the file system that nobody else sees yet.
pub(super) unsafe extern "C" fn init<T: DentryOperations>(dentry: *mut bindings::dentry) -> i32 {
    let Some(address) = NonNull::new(dentry) else {
        return 0;
    };
    // INVARIANT: `release` takes the address away before the memory is freed.
    let new = Arc::pin_init(
        pin_init!(Remembered::<T> {
            link: Link::new(),
            entry <- new_spinlock!(Some(Address(address)), "kernel_glue::Remembered::entry"),
            data: T::new_entry(),
            _fs: PhantomData,
        }),
        GFP_KERNEL,
    );
    if let Ok(remembered) = new {
        // SAFETY: By the safety requirements. Both fields are the file system's; the super block's
        // data is set before it has entries.
        unsafe {
            (*dentry).d_time = 0;
            (*dentry).d_fsdata = Arc::into_raw(remembered.clone()).cast_mut().cast();
            T::entry_made(SuperBlock::from_raw((*dentry).d_sb), remembered);
        }
    }
    0
}

/// # Safety
///
/// Called by the VFS with an entry of the file system that nobody uses any more.
pub(super) unsafe extern "C" fn release<T: DentryOperations>(dentry: *mut bindings::dentry) {
    // SAFETY: By the safety requirements: nobody else uses the field. The super block outlives its
    // entries.
    let (data, sb) = unsafe {
        (
            (*dentry).d_fsdata.cast::<Remembered<T>>(),
            SuperBlock::from_raw((*dentry).d_sb),
        )
    };
    if data.is_null() {
        return;
    }
    // SAFETY: It came from `Arc::into_raw` in `init`, and is taken once.
    let remembered = unsafe { Arc::from_raw(data.cast_const()) };
    *remembered.entry.lock() = None;
    T::entry_gone(sb, &remembered);
}
