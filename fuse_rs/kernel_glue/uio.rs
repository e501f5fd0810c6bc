// SPDX-License-Identifier: GPL-2.0

//! Copying to and from whoever calls.

use crate::bindings;
use crate::mem::pages::SharedPages;
use crate::mem::user_pages::UserPages;
use crate::mm::lent::FolioParts;
pub use kernel::iov::IovIterDest;
pub use kernel::iov::IovIterSource;
use kernel::prelude::*;

/// Makes sure that the next `len` bytes of `source` can be read; returns how many of them can, as far
/// as that can be told.
///
/// # Context
///
/// May sleep, for as long as the owner of the memory likes. No folio is locked.
pub fn fault_in(source: &mut IovIterSource<'_>, len: usize) -> usize {
    // SAFETY: The source is valid; it is only read.
    let missing = unsafe { bindings::fault_in_iov_iter_readable(source.as_raw(), len) };
    len.saturating_sub(missing)
}

/// As [`fault_in`], for the next `len` bytes that `dest` can take.
pub fn fault_in_dest(dest: &mut IovIterDest<'_>, len: usize) -> usize {
    // SAFETY: The destination is valid; what is there stays the same.
    let missing = unsafe { bindings::fault_in_iov_iter_writeable(dest.as_raw(), len) };
    len.saturating_sub(missing)
}

/// Runs `copy`, which does not wait for memory of `iter` that is not there: copies come up short
/// instead. If it returns `false`, the iterator is where it was before.
pub fn without_faults<I: Iter>(iter: &mut I, copy: impl FnOnce(&mut I) -> bool) -> bool {
    // SAFETY: An iterator is plain data that refers to what is borrowed.
    let before = unsafe { iter.raw().read() };
    // SAFETY: Balanced below, on the same task.
    unsafe { bindings::fuse_rs_helper_pagefault_disable() };
    let done = copy(iter);
    // SAFETY: As above.
    unsafe { bindings::fuse_rs_helper_pagefault_enable() };
    if !done {
        // SAFETY: This is what the iterator was when it was valid.
        unsafe { iter.raw().write(before) };
    }
    done
}

/// An iterator over memory, in either direction.
///
/// # Safety
///
/// What `raw` returns is the iterator, and stays it.
pub unsafe trait Iter {
    /// The iterator.
    fn raw(&mut self) -> *mut bindings::iov_iter;

    /// Bytes left.
    fn left(&self) -> usize;
}

// SAFETY: It is.
unsafe impl Iter for IovIterSource<'_> {
    fn raw(&mut self) -> *mut bindings::iov_iter {
        self.as_raw()
    }

    fn left(&self) -> usize {
        self.len()
    }
}

// SAFETY: It is.
unsafe impl Iter for IovIterDest<'_> {
    fn raw(&mut self) -> *mut bindings::iov_iter {
        self.as_raw()
    }

    fn left(&self) -> usize {
        self.len()
    }
}

/// Whether the memory is that of a process.
pub fn is_process_memory(iter: &mut impl Iter) -> bool {
    // SAFETY: The iterator is valid.
    unsafe { bindings::fuse_rs_helper_user_backed(iter.raw()) }
}

/// Lets `with` have `iter`, which then has advanced by as much as `with` returns: by nothing if it
/// fails.
///
/// # Errors
///
/// Those of `with`.
pub fn consume<I: Iter>(iter: &mut I, with: impl FnOnce(&mut I) -> Result<usize>) -> Result<usize> {
    // SAFETY: An iterator is plain data that refers to what is borrowed.
    let before = unsafe { iter.raw().read() };
    let used = with(iter);
    // SAFETY: This is what the iterator was when it was valid.
    unsafe { iter.raw().write(before) };
    let used_up = used.unwrap_or(0).min(iter.left());
    // SAFETY: The iterator is valid, and has that much left.
    unsafe { bindings::iov_iter_advance(iter.raw(), used_up) };
    used
}

/// Where a message goes, piece by piece.
pub trait MessageSink {
    /// Bytes that still fit.
    fn room(&self) -> usize;

    /// Appends bytes. May sleep and fault.
    ///
    /// # Errors
    ///
    /// `EFAULT` when they do not fit or the destination is bad; `ENOMEM`.
    fn put(&mut self, bytes: &[u8]) -> Result;

    /// Appends pages, as [`MessageSink::put`] or without copying them.
    fn put_pages(&mut self, pages: &SharedPages<'_>) -> Result {
        self.put(pages.bytes())
    }

    /// Appends bytes that others may change, as [`MessageSink::put`].
    fn put_user_pages(&mut self, pages: &UserPages) -> Result;

    /// Appends bytes that others may change, all of them or none: if that is not to be had without
    /// sleeping, `false` is returned.
    fn put_folios(&mut self, _folios: &FolioParts) -> bool {
        false
    }

    /// Makes sure that the next `len` bytes can be put without sleeping, as far as that can be
    /// told. May sleep, for as long as the owner of the destination likes.
    ///
    /// # Errors
    ///
    /// `EFAULT` when they cannot.
    fn prepare(&mut self, _len: usize) -> Result {
        Ok(())
    }
}

impl MessageSink for IovIterDest<'_> {
    fn room(&self) -> usize {
        self.len()
    }

    fn put(&mut self, bytes: &[u8]) -> Result {
        if self.copy_to_iter(bytes) == bytes.len() {
            Ok(())
        } else {
            Err(EFAULT)
        }
    }

    fn put_user_pages(&mut self, pages: &UserPages) -> Result {
        if pages.pieces().all(|piece| piece.copy_to_iter(self)) {
            Ok(())
        } else {
            Err(EFAULT)
        }
    }

    fn put_folios(&mut self, folios: &FolioParts) -> bool {
        folios.copy_to_iter(self)
    }

    fn prepare(&mut self, len: usize) -> Result {
        if fault_in_dest(self, len) == len {
            Ok(())
        } else {
            Err(EFAULT)
        }
    }
}
