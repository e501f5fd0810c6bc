// SPDX-License-Identifier: GPL-2.0

//! Readahead.

use super::folio::LockedFolio;
use crate::bindings;
use core::marker::PhantomData;
use core::ptr::NonNull;

/// What the kernel wants to have read ahead: an iterator over locked folios in file order.
///
/// Folios that are not taken are unlocked by the kernel without having been read.
pub struct Readahead<'a> {
    control: NonNull<bindings::readahead_control>,
    _borrow: PhantomData<&'a mut bindings::readahead_control>,
}

impl Readahead<'_> {
    /// Wraps the argument of `readahead`.
    ///
    /// # Safety
    ///
    /// `control` is the argument of a running `readahead` operation.
    pub(crate) unsafe fn from_raw(control: NonNull<bindings::readahead_control>) -> Self {
        Self {
            control,
            _borrow: PhantomData,
        }
    }

    /// Bytes left.
    pub fn remaining(&self) -> usize {
        // SAFETY: The control is valid during the operation.
        unsafe { bindings::fuse_rs_helper_readahead_length(self.control.as_ptr()) }
    }

    /// Whether nobody needs the folios that are left yet: a read has hit the mark behind which
    /// everything is read ahead in good time.
    pub fn is_speculative(&self) -> bool {
        // SAFETY: The control is valid during the operation, and so is its state, if any.
        unsafe {
            let ra = (*self.control.as_ptr()).ra;
            let pages = self.remaining() / crate::mem::pages::PAGE_SIZE;
            !ra.is_null() && (*ra).async_size as usize >= pages
        }
    }

    /// The open file on whose behalf this happens, if any: its private data.
    pub(crate) fn file(&self) -> *mut bindings::file {
        // SAFETY: The control is valid during the operation.
        unsafe { (*self.control.as_ptr()).file }
    }
}

impl Iterator for Readahead<'_> {
    type Item = LockedFolio;

    fn next(&mut self) -> Option<LockedFolio> {
        // SAFETY: The control is valid during the operation; the folio it returns is locked and
        // comes with the reference the page cache took for the readahead.
        unsafe {
            let folio = bindings::fuse_rs_helper_readahead_folio(self.control.as_ptr());
            NonNull::new(folio).map(|folio| LockedFolio::from_raw(folio))
        }
    }
}
