// SPDX-License-Identifier: GPL-2.0

//! Copying from and to files in a device's memory.

use super::Access;
use super::DaxOperations;
use super::Hold;
use super::Place;
use crate::bindings;
use crate::mem::pages::PAGE_SIZE;
use crate::uio;
use crate::uio::Iter;
use crate::vfs::inode::Inode;
use crate::vfs::io::size_result;
use crate::vfs::io::Io;
use core::ffi::c_void;
use core::marker::PhantomData;
use kernel::iov::IovIterDest;
use kernel::iov::IovIterSource;
use kernel::prelude::*;

const PAGE: u64 = PAGE_SIZE as u64;

/// How much of the caller's memory is faulted in at a time.
const FAULT_IN: usize = 1 << 20;

/// The table of callbacks by which the kernel finds the bytes of a file.
pub(super) struct FindTable<T>(PhantomData<T>);

impl<T: DaxOperations> FindTable<T> {
    const TABLE: bindings::iomap_ops = bindings::iomap_ops {
        iomap_begin: Some(begin::<T>),
        iomap_end: Some(end::<T>),
        iomap_next: None,
    };

    pub(super) const fn get() -> &'static bindings::iomap_ops {
        &Self::TABLE
    }
}

impl<T: DaxOperations> Io<'_, T> {
    /// Reads from memory. The inode is locked, shared at least.
    ///
    /// # Context
    ///
    /// May sleep, also for the caller's memory, but only when nothing is held that was found.
    ///
    /// # Errors
    ///
    /// `ENXIO` when the device is gone; those of [`DaxOperations::find`].
    pub fn read_memory(&mut self, to: &mut IovIterDest<'_>) -> Result<usize> {
        self.copy_memory(to, uio::fault_in_dest)
    }

    /// Writes to memory, within the file. The inode is locked.
    ///
    /// # Context
    ///
    /// As for [`Io::read_memory`].
    ///
    /// # Errors
    ///
    /// As for [`Io::read_memory`].
    pub fn write_memory(&mut self, from: &mut IovIterSource<'_>) -> Result<usize> {
        self.copy_memory(from, uio::fault_in)
    }

    /// The caller's memory may itself have to be found, and that may take what we hold: so it is
    /// faulted in while we hold nothing.
    fn copy_memory<I: Iter>(
        &mut self,
        caller: &mut I,
        fault_in: impl Fn(&mut I, usize) -> usize,
    ) -> Result<usize> {
        let mut done = 0usize;
        loop {
            let mut copied = Ok(0);
            uio::without_faults(caller, |caller| {
                // SAFETY: Both are valid, and the inode is locked.
                copied = size_result(unsafe {
                    bindings::dax_iomap_rw(self.as_raw(), caller.raw(), FindTable::<T>::get())
                });
                true
            });
            let left = caller.left();
            match copied {
                Ok(0) => return Ok(done),
                Ok(some) => done = done.saturating_add(some),
                Err(EFAULT) if fault_in(caller, left.min(FAULT_IN)) > 0 => {}
                Err(error) if done == 0 => return Err(error),
                Err(_) => return Ok(done),
            }
            if left == 0 {
                return Ok(done);
            }
        }
    }
}

/// What a hold is in a field that is zero without one. Never used as a pointer.
fn to_private(hold: Hold) -> *mut c_void {
    (hold.0 as usize).wrapping_add(1) as *mut c_void
}

fn from_private(private: *mut c_void) -> Option<Hold> {
    let hold = (private as usize).checked_sub(1)?;
    u32::try_from(hold).ok().map(Hold)
}

/// # Safety
///
/// Called for a file of the file system that is in memory, with a place for what is found.
unsafe extern "C" fn begin<T: DaxOperations>(
    inode: *mut bindings::inode,
    position: i64,
    len: i64,
    flags: u32,
    found: *mut bindings::iomap,
    _source: *mut bindings::iomap,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let (inode, found) = unsafe { (Inode::<T>::from_raw(inode), &mut *found) };
        let device = T::device(inode).ok_or(EIO)?;
        let start = u64::try_from(position).map_err(|_| EINVAL)?;
        let len = u64::try_from(len).map_err(|_| EINVAL)?.max(1);
        let mapped = flags & bindings::IOMAP_FAULT != 0;
        let access = Access {
            write: flags & bindings::IOMAP_WRITE != 0,
            mapped,
        };
        found.offset = position;
        found.dax_dev = device.as_ptr();
        match T::find(inode, start..start.saturating_add(len), access)? {
            Place::Hole => {
                found.addr = bindings::IOMAP_NULL_ADDR as u64;
                found.length = len;
                found.type_ = bindings::IOMAP_HOLE as u16;
            }
            Place::Memory { offset, len, hold } => {
                let len = len.max(1);
                // Pages are mapped as a whole.
                let whole = if mapped {
                    len.next_multiple_of(PAGE)
                } else {
                    len
                };
                if offset
                    .checked_add(whole)
                    .is_none_or(|end| end > device.len())
                {
                    T::leave(inode, hold);
                    return Err(EIO);
                }
                found.addr = offset;
                found.length = whole;
                found.type_ = bindings::IOMAP_MAPPED as u16;
                found.private = to_private(hold);
            }
        }
        Ok(0)
    })
}

/// # Safety
///
/// Called after [`begin`], for the same file and with what was found.
unsafe extern "C" fn end<T: DaxOperations>(
    inode: *mut bindings::inode,
    _position: i64,
    _len: i64,
    _done: isize,
    _flags: u32,
    found: *mut bindings::iomap,
) -> i32 {
    // SAFETY: By the safety requirements.
    let (inode, private) = unsafe { (Inode::<T>::from_raw(inode), (*found).private) };
    if let Some(hold) = from_private(private) {
        T::leave(inode, hold);
    }
    0
}
