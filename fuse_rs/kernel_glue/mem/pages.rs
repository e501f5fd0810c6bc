// SPDX-License-Identifier: GPL-2.0

//! Data in pages of our own.

use crate::bindings;
use crate::mm::folio::LockedFolio;
use crate::uio::MessageSink;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use kernel::iov::IovIterSource;
use kernel::prelude::*;

/// Size of a page in bytes.
pub const PAGE_SIZE: usize = kernel::page::PAGE_SIZE;

/// One page, filled from the start.
///
/// # Invariants
///
/// The first `filled` bytes are initialised and do not change any more; `filled` is at most
/// [`PAGE_SIZE`]. Nobody else writes to the page.
pub(crate) struct OwnedPage {
    address: NonNull<u8>,
    filled: usize,
}

/// A counted reference to a page whose first bytes do not change any more.
pub(crate) struct PageRef {
    address: NonNull<u8>,
    len: usize,
}

impl OwnedPage {
    /// An empty page.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: May sleep, which all callers may.
        let address = unsafe { bindings::get_free_pages_noprof(bindings::GFP_KERNEL, 0) };
        let address = NonNull::new(address as *mut u8).ok_or(ENOMEM)?;
        // INVARIANT: Nothing is filled.
        Ok(Self { address, filled: 0 })
    }

    /// What has been filled.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: By the type's invariants.
        unsafe { core::slice::from_raw_parts(self.address.as_ptr(), self.filled) }
    }

    fn spare(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: The rest of the page is ours alone; references to the page are to what is
        // filled.
        unsafe {
            core::slice::from_raw_parts_mut(
                self.address.as_ptr().add(self.filled).cast(),
                PAGE_SIZE - self.filled,
            )
        }
    }

    /// Fills more of the page from the start of `bytes`; returns how much that was.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> usize {
        let room = self.spare();
        let len = bytes.len().min(room.len());
        // SAFETY: Both are at least `len` bytes long, and do not overlap: one is borrowed
        // exclusively.
        unsafe {
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), room.as_mut_ptr().cast(), len);
        }
        // INVARIANT: These bytes were just initialised.
        self.filled += len;
        len
    }

    /// Fills more of the page with up to `len` bytes of `source`; returns how many it got.
    pub(crate) fn append_from(&mut self, source: &mut IovIterSource<'_>, len: usize) -> usize {
        let room = self.spare();
        let len = len.min(room.len());
        let got = room
            .get_mut(..len)
            .map_or(0, |room| source.copy_from_iter_raw(room).len());
        // INVARIANT: These bytes were just initialised.
        self.filled += got;
        got
    }

    /// Another reference to what has been filled.
    pub(crate) fn share(&self) -> PageRef {
        // SAFETY: The page is valid; the reference is given up in `PageRef::drop`.
        unsafe { bindings::fuse_rs_helper_get_page(self.address.as_ptr().cast()) };
        PageRef {
            address: self.address,
            len: self.filled,
        }
    }

    /// Gives up filling.
    pub(crate) fn into_ref(self) -> PageRef {
        let this = core::mem::ManuallyDrop::new(self);
        PageRef {
            address: this.address,
            len: this.filled,
        }
    }
}

// SAFETY: The page belongs to the value, whichever thread has it.
unsafe impl Send for OwnedPage {}
// SAFETY: Shared access only reads.
unsafe impl Sync for OwnedPage {}

impl Drop for OwnedPage {
    fn drop(&mut self) {
        // SAFETY: Gives up the reference the allocation came with.
        unsafe { bindings::free_pages(self.address.as_ptr() as usize, 0) };
    }
}

impl PageRef {
    /// Gives the reference away: address and length.
    pub(crate) fn into_raw(self) -> (*mut u8, usize) {
        let this = core::mem::ManuallyDrop::new(self);
        (this.address.as_ptr(), this.len)
    }
}

impl Drop for PageRef {
    fn drop(&mut self) {
        // SAFETY: Gives up a reference; the page goes with the last one.
        unsafe { bindings::free_pages(self.address.as_ptr() as usize, 0) };
    }
}

/// A page that a [`MessageSink`] may keep a reference to instead of copying it.
pub struct SharedPage<'a>(&'a OwnedPage);

impl SharedPage<'_> {
    /// Its content.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    pub(crate) fn share(&self) -> PageRef {
        self.0.share()
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
            let mut page = OwnedPage::new()?;
            let got = page.append_from(source, want);
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

    /// A copy of `bytes`.
    ///
    /// # Context
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn copy_of(bytes: &[u8]) -> Result<Self> {
        let mut pages = KVec::with_capacity(bytes.len().div_ceil(PAGE_SIZE), GFP_KERNEL)?;
        for chunk in bytes.chunks(PAGE_SIZE) {
            let mut page = OwnedPage::new()?;
            page.append(chunk);
            pages.push(page, GFP_KERNEL)?;
        }
        Ok(Self {
            pages,
            len: bytes.len(),
        })
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
        self.pages
            .iter()
            .try_for_each(|page| dest.put_page(&SharedPage(page)))
    }

    /// Fills `folio` with the bytes from position `from` of this data, if there are enough.
    pub fn fill_folio(&self, from: usize, folio: &mut LockedFolio) {
        let size = folio.size();
        if size <= self.len.saturating_sub(from) {
            self.copy_to_folio(from, folio, 0, size);
            folio.mark_uptodate();
        }
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
