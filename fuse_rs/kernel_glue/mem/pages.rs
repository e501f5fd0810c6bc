// SPDX-License-Identifier: GPL-2.0

//! Data in pages of our own.

use crate::bindings;
use crate::mm::folio::LockedFolio;
use crate::uio::MessageSink;
use core::ptr::NonNull;
use kernel::iov::IovIterSource;
use kernel::prelude::*;

/// Size of a page in bytes.
pub const PAGE_SIZE: usize = kernel::page::PAGE_SIZE;

/// One page.
pub(crate) struct OwnedPage(NonNull<u8>);

impl OwnedPage {
    pub(crate) fn zeroed() -> Result<Self> {
        // SAFETY: May sleep, which all callers may.
        let address = unsafe {
            bindings::get_free_pages_noprof(bindings::GFP_KERNEL | bindings::__GFP_ZERO, 0)
        };
        NonNull::new(address as *mut u8).map(Self).ok_or(ENOMEM)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: The page is ours, and zeroed or written before this is called: `PageData`
        // exposes only what it has filled.
        unsafe { core::slice::from_raw_parts(self.0.as_ptr(), PAGE_SIZE) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: The page is ours alone and was zeroed when allocated.
        unsafe { core::slice::from_raw_parts_mut(self.0.as_ptr(), PAGE_SIZE) }
    }
}

impl OwnedPage {
    /// Gives the page away, with the reference the value had.
    pub(crate) fn into_address(self) -> *mut u8 {
        core::mem::ManuallyDrop::new(self).0.as_ptr()
    }
}

// SAFETY: The page belongs to the value, whichever thread has it.
unsafe impl Send for OwnedPage {}
// SAFETY: Shared access only reads.
unsafe impl Sync for OwnedPage {}

impl Drop for OwnedPage {
    fn drop(&mut self) {
        // SAFETY: The page came from `get_free_pages` with order zero and is freed once.
        unsafe { bindings::free_pages(self.0.as_ptr() as usize, 0) };
    }
}

/// A run of bytes in pages that nobody else sees.
pub struct PageData {
    pages: KVec<OwnedPage>,
    len: usize,
}

impl PageData {
    /// Copies up to `len` bytes from `source`, which advances by what was copied.
    ///
    /// # Context
    ///
    /// Process context; may sleep and fault.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EFAULT` when nothing could be copied.
    pub fn copy_from(source: &mut IovIterSource<'_>, len: usize) -> Result<Self> {
        let len = len.min(source.len());
        let mut pages = KVec::with_capacity(len.div_ceil(PAGE_SIZE), GFP_KERNEL)?;
        let mut copied = 0usize;
        while copied < len {
            let want = (len - copied).min(PAGE_SIZE);
            let mut page = OwnedPage::zeroed()?;
            let got = match page.bytes_mut().get_mut(..want) {
                Some(slice) => source.copy_from_iter(slice),
                None => 0,
            };
            copied += got;
            if got > 0 {
                pages.push(page, GFP_KERNEL)?;
            }
            if got < want {
                break;
            }
        }
        if copied == 0 && len > 0 {
            return Err(EFAULT);
        }
        Ok(Self { pages, len: copied })
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies everything to `dest`.
    ///
    /// # Errors
    ///
    /// As [`MessageSink::put`].
    pub fn copy_to(&self, dest: &mut dyn MessageSink) -> Result {
        let mut left = self.len;
        for page in &self.pages {
            let part = left.min(PAGE_SIZE);
            let Some(bytes) = page.bytes().get(..part) else {
                break;
            };
            dest.put(bytes)?;
            left -= part;
        }
        Ok(())
    }

    /// Copies bytes from position `from` of this data into `folio` at `to`, as far as both reach.
    pub fn copy_to_folio(&self, from: usize, folio: &mut LockedFolio, to: usize, len: usize) {
        let len = len.min(self.len.saturating_sub(from));
        let mut done = 0usize;
        while done < len {
            let at = from + done;
            let offset = at % PAGE_SIZE;
            let part = (len - done).min(PAGE_SIZE - offset);
            let Some(bytes) = self
                .pages
                .get(at / PAGE_SIZE)
                .and_then(|page| page.bytes().get(offset..offset + part))
            else {
                return;
            };
            folio.write(to + done, bytes);
            done += part;
        }
    }
}
