// SPDX-License-Identifier: GPL-2.0

//! Folios that are being written back from where they lie.

use crate::bindings;
use crate::mem::pages::PageData;
use crate::mem::pages::PageRef;
use crate::mem::pages::PAGE_SIZE;
use crate::uio::without_faults;
use core::ops::Deref;
use core::ops::Range;
use core::ptr::NonNull;
use kernel::iov::IovIterDest;
use kernel::prelude::*;

/// Bytes of a folio.
///
/// # Invariants
///
/// The value owns a reference to the folio; the bytes lie in it, and start where a page does.
struct Part {
    folio: NonNull<bindings::folio>,
    bytes: Range<usize>,
}

impl Part {
    /// Copies the bytes to `dest`; `false` if it did not take all.
    fn copy_to_iter(&self, dest: &mut IovIterDest<'_>) -> bool {
        // SAFETY: There is a reference to the folio, in which the bytes lie; the iterator is valid.
        let taken = unsafe {
            bindings::fuse_rs_helper_copy_folio_to_iter(
                self.folio.as_ptr(),
                self.bytes.start,
                self.bytes.len(),
                dest.as_raw(),
            )
        };
        taken == self.bytes.len()
    }
}

// SAFETY: A reference to a folio is not bound to a task.
unsafe impl Send for Part {}
// SAFETY: Shared access only reads the value; the bytes are read by the kernel's functions only.
unsafe impl Sync for Part {}

impl Drop for Part {
    fn drop(&mut self) {
        // SAFETY: The reference is given up.
        unsafe { bindings::fuse_rs_helper_folio_put(self.folio.as_ptr()) };
    }
}

/// Bytes of folios, one after the other. Others may change them.
pub struct FolioParts {
    /// Most have only this.
    first: Option<Part>,
    rest: KVVec<Part>,
    len: usize,
}

impl FolioParts {
    /// How many bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        Iterator::chain(self.first.iter(), self.rest.iter())
    }

    /// The folios, and what of them.
    pub(crate) fn places(&self) -> impl Iterator<Item = (*mut bindings::folio, Range<usize>)> + '_ {
        self.parts()
            .map(|part| (part.folio.as_ptr(), part.bytes.clone()))
    }

    /// Page by page: where it is, and how many of its bytes belong to this from its start on.
    pub(crate) fn pages(&self) -> impl Iterator<Item = PageRef> + '_ {
        self.parts().flat_map(|part| {
            part.bytes.clone().step_by(PAGE_SIZE).map(|offset| {
                let len = (part.bytes.end - offset).min(PAGE_SIZE);
                // SAFETY: There is a reference to the folio, in which the bytes lie; they start
                // where a page does.
                unsafe { PageRef::of_folio(part.folio, offset, len) }
            })
        })
    }

    /// How many pages those are.
    pub(crate) fn count_pages(&self) -> usize {
        self.parts()
            .map(|part| part.bytes.len().div_ceil(PAGE_SIZE))
            .sum()
    }

    /// A copy of the bytes.
    ///
    /// # Context
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn copy(&self) -> Result<PageData> {
        let mut data = PageData::default();
        for part in self.parts() {
            // SAFETY: There is a reference to the folio, in which the bytes lie.
            unsafe { data.append_folio(part.folio.as_ptr(), part.bytes.clone()) }?;
        }
        Ok(data)
    }

    /// Copies the bytes to `dest` as far as that does not mean to wait for its memory; if it does,
    /// nothing is copied and `false` returned.
    pub(crate) fn copy_to_iter(&self, dest: &mut IovIterDest<'_>) -> bool {
        without_faults(dest, |dest| {
            self.parts().all(|part| part.copy_to_iter(dest))
        })
    }
}

/// Folios that are marked as being written back, until the value is dropped. Then their bytes need
/// not be there any more.
///
/// # Invariants
///
/// Each part is of another folio, which was marked by this value.
pub struct LentFolios(FolioParts);

impl LentFolios {
    /// None, with room for `capacity`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn with_capacity(capacity: usize) -> Result<Self> {
        Ok(Self(FolioParts {
            first: None,
            rest: KVVec::with_capacity(capacity.saturating_sub(1), GFP_KERNEL)?,
            len: 0,
        }))
    }

    /// Marks a folio as being written back, and takes its `bytes` in.
    ///
    /// # Errors
    ///
    /// `ENOMEM` without room for it.
    ///
    /// # Safety
    ///
    /// There is a reference to `folio`, which is locked, was made clean for I/O and is not being
    /// written back; the bytes lie in it, and start where a page does.
    pub(super) unsafe fn push(
        &mut self,
        folio: NonNull<bindings::folio>,
        bytes: Range<usize>,
    ) -> Result {
        let len = bytes.len();
        let has_room = self.0.first.is_none() || self.0.rest.len() < self.0.rest.capacity();
        if !has_room {
            return Err(ENOMEM);
        }
        // SAFETY: By the safety requirements.
        unsafe {
            bindings::fuse_rs_helper_folio_get(folio.as_ptr());
            bindings::__folio_start_writeback(folio.as_ptr(), false);
        }
        // INVARIANT: The reference was just taken; the folio was just marked.
        let part = Part { folio, bytes };
        match &self.0.first {
            None => self.0.first = Some(part),
            Some(_) => self.0.rest.push_within_capacity(part).map_err(|_| ENOMEM)?,
        }
        self.0.len += len;
        Ok(())
    }

    /// Drops what comes behind the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        while self.0.len > len {
            let excess = self.0.len - len;
            let last = self.0.rest.last_mut().or(self.0.first.as_mut());
            if let Some(last) = last.filter(|last| last.bytes.len() > excess) {
                last.bytes.end -= excess;
                self.0.len = len;
                return;
            }
            let Some(last) = self.0.rest.pop().or_else(|| self.0.first.take()) else {
                return;
            };
            self.0.len -= last.bytes.len();
            end_writeback(&last);
        }
    }

    /// For the kernel, the folios are written. Their bytes stay there as long as they are not
    /// changed in other ways.
    pub fn written(mut self) -> FolioParts {
        let parts = FolioParts {
            first: self.0.first.take(),
            rest: core::mem::take(&mut self.0.rest),
            len: self.0.len,
        };
        parts.parts().for_each(end_writeback);
        parts
    }
}

impl Deref for LentFolios {
    type Target = FolioParts;

    fn deref(&self) -> &FolioParts {
        &self.0
    }
}

/// Of a part of [`LentFolios`], which it no longer is.
fn end_writeback(part: &Part) {
    // SAFETY: There is a reference to the folio, which was marked when it was taken in.
    unsafe { bindings::folio_end_writeback(part.folio.as_ptr()) };
}

impl Drop for LentFolios {
    fn drop(&mut self) {
        self.0.parts().for_each(end_writeback);
    }
}
