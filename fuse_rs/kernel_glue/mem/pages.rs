// SPDX-License-Identifier: GPL-2.0

//! Data in pages of our own.

use super::reserve;
use crate::bindings;
use crate::mm::folio::LockedFolio;
use crate::uio::MessageSink;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr::NonNull;
use kernel::iov::IovIterSource;
use kernel::prelude::*;

/// Size of a page in bytes.
pub const PAGE_SIZE: usize = kernel::page::PAGE_SIZE;

/// Largest order of folios that nobody but us ever sees: the kernel does not have to try hard
/// for them.
pub(super) const MAX_PRIVATE_ORDER: u32 = 3;

/// One or more pages in a row, filled from the start.
///
/// # Invariants
///
/// The folio is in no page cache, and the value owns one reference to it. The first `filled`
/// bytes are initialised and do not change as long as the value exists; `filled` is at most the
/// size of the folio. Nobody else writes to it.
pub(crate) struct OwnedFolio {
    folio: NonNull<bindings::folio>,
    filled: usize,
}

/// A counted reference to a page, and how many bytes it is about.
pub(crate) struct PageRef {
    address: NonNull<u8>,
    len: usize,
}

impl OwnedFolio {
    fn allocate(gfp: bindings::gfp_t, order: u32) -> Option<Self> {
        // SAFETY: May sleep, which all callers may.
        let folio = unsafe { bindings::fuse_rs_helper_alloc_folio(gfp, order) };
        // INVARIANT: The reference is ours, and nothing is filled.
        NonNull::new(folio).map(|folio| Self { folio, filled: 0 })
    }

    /// An empty page.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn new() -> Result<Self> {
        Self::allocate(bindings::GFP_KERNEL, 0).ok_or(ENOMEM)
    }

    /// An empty folio of `1 << order` pages, or of fewer if those are not to be had easily.
    ///
    /// # Context
    ///
    /// May sleep.
    fn up_to(gfp: bindings::gfp_t, order: u32) -> Result<Self> {
        (1..=order)
            .rev()
            .find_map(|order| Self::allocate(gfp | bindings::FUSE_RS_GFP_LARGE as u32, order))
            .or_else(|| Self::allocate(gfp, 0))
            .ok_or(ENOMEM)
    }

    /// An empty folio of `1 << order` pages that somebody else has given up, if there is one.
    fn from_reserve(order: u32) -> Option<Self> {
        if order != MAX_PRIVATE_ORDER {
            return None;
        }
        // INVARIANT: The only reference is ours, and nothing is filled.
        reserve::take().map(|folio| Self { folio, filled: 0 })
    }

    /// Size in bytes.
    pub(crate) fn size(&self) -> usize {
        // SAFETY: We own a reference.
        unsafe { bindings::fuse_rs_helper_folio_size(self.folio.as_ptr()) }
    }

    fn address(&self) -> NonNull<u8> {
        // SAFETY: We own a reference; the folio was allocated with an address.
        unsafe {
            NonNull::new_unchecked(
                bindings::fuse_rs_helper_folio_address(self.folio.as_ptr()).cast(),
            )
        }
    }

    /// What has been filled.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: By the type's invariants.
        unsafe { core::slice::from_raw_parts(self.address().as_ptr(), self.filled) }
    }

    /// Whether nobody else has a reference, so that nobody would see the bytes change if the
    /// value was given up.
    pub(crate) fn is_unshared(&self) -> bool {
        // SAFETY: We own a reference.
        unsafe { bindings::fuse_rs_helper_folio_ref_count(self.folio.as_ptr()) == 1 }
    }

    fn spare(&mut self) -> &mut [MaybeUninit<u8>] {
        let size = self.size();
        // SAFETY: The rest of the folio is ours alone; references to the pages are to what is
        // filled.
        unsafe {
            core::slice::from_raw_parts_mut(
                self.address().as_ptr().add(self.filled).cast(),
                size - self.filled,
            )
        }
    }

    /// Fills more of the folio from the start of `bytes`; returns how much that was.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> usize {
        self.append_with(bytes.len(), |to, len| {
            // SAFETY: Both are at least `len` bytes long, and do not overlap: one is borrowed
            // exclusively.
            unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, len) };
        })
    }

    /// Fills up to `len` bytes more of the folio by `copy`, which writes as many as it is told to
    /// the address; returns how many that were.
    pub(super) fn append_with(&mut self, len: usize, copy: impl FnOnce(*mut u8, usize)) -> usize {
        let room = self.spare();
        let len = len.min(room.len());
        copy(room.as_mut_ptr().cast(), len);
        // INVARIANT: These bytes were just initialised.
        self.filled += len;
        len
    }

    /// Fills more of the folio with up to `len` bytes of `source`; returns how many it got.
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

    /// Gives the reference away.
    pub(crate) fn into_raw(self) -> NonNull<bindings::folio> {
        core::mem::ManuallyDrop::new(self).folio
    }

    /// Takes a completely filled folio back.
    ///
    /// # Safety
    ///
    /// `folio` came from [`OwnedFolio::into_raw`] of a folio that was filled, and everything is
    /// as it was then.
    pub(crate) unsafe fn from_raw_filled(folio: NonNull<bindings::folio>) -> Self {
        let mut this = Self { folio, filled: 0 };
        // INVARIANT: By the safety requirements.
        this.filled = this.size();
        this
    }

    /// Gives up filling a single page.
    pub(crate) fn into_ref(self) -> PageRef {
        let this = core::mem::ManuallyDrop::new(self);
        PageRef {
            address: this.address(),
            len: this.filled.min(PAGE_SIZE),
        }
    }
}

// SAFETY: The folio belongs to the value, whichever thread has it.
unsafe impl Send for OwnedFolio {}
// SAFETY: Shared access only reads.
unsafe impl Sync for OwnedFolio {}

impl Drop for OwnedFolio {
    fn drop(&mut self) {
        let is_large = self.size() == PAGE_SIZE << MAX_PRIVATE_ORDER;
        if is_large && self.is_unshared() && reserve::keep(self.folio).is_ok() {
            return;
        }
        // SAFETY: Gives up the reference the allocation came with.
        unsafe { bindings::fuse_rs_helper_folio_put(self.folio.as_ptr()) };
    }
}

impl PageRef {
    /// Of the page at `offset` of a folio.
    ///
    /// # Safety
    ///
    /// There is a reference to `folio`, which has the page; folios always have an address.
    pub(crate) unsafe fn of_folio(
        folio: NonNull<bindings::folio>,
        offset: usize,
        len: usize,
    ) -> Self {
        // SAFETY: By the safety requirements. The reference is given up in `PageRef::drop`.
        let address = unsafe {
            let start = bindings::fuse_rs_helper_folio_address(folio.as_ptr()).cast::<u8>();
            bindings::fuse_rs_helper_folio_get(folio.as_ptr());
            NonNull::new_unchecked(start.add(offset))
        };
        Self { address, len }
    }

    /// Gives the reference away: address and length.
    pub(crate) fn into_raw(self) -> (*mut u8, usize) {
        let this = core::mem::ManuallyDrop::new(self);
        (this.address.as_ptr(), this.len)
    }
}

impl Drop for PageRef {
    fn drop(&mut self) {
        // SAFETY: Gives up a reference; the page goes with the last one.
        unsafe { bindings::fuse_rs_helper_put_page(self.address.as_ptr().cast()) };
    }
}

/// Pages that a [`MessageSink`] may keep references to instead of copying them.
pub struct SharedPages<'a>(&'a OwnedFolio);

impl SharedPages<'_> {
    /// Their content.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// One after the other.
    pub(crate) fn pages(&self) -> impl Iterator<Item = SharedPage<'_>> {
        self.bytes().chunks(PAGE_SIZE).map(SharedPage)
    }
}

/// A page of [`SharedPages`].
///
/// # Invariants
///
/// The bytes start where a page does, and do not change as long as there is a reference to it.
pub(crate) struct SharedPage<'a>(&'a [u8]);

impl SharedPage<'_> {
    /// Its content.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0
    }

    /// Another reference to it.
    pub(crate) fn share(&self) -> PageRef {
        let address = NonNull::from(self.0).cast::<u8>();
        // SAFETY: The page is valid; the reference is given up in `PageRef::drop`.
        unsafe { bindings::fuse_rs_helper_get_page(address.as_ptr().cast()) };
        PageRef {
            address,
            len: self.0.len(),
        }
    }
}

/// A run of bytes in pages that nobody else sees.
#[derive(Default)]
pub struct PageData {
    folios: KVVec<OwnedFolio>,
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
        Self::collect(source, len, bindings::GFP_KERNEL, |_| MAX_PRIVATE_ORDER)
    }

    /// As [`PageData::copy_from`], with memory by `gfp`. `max_order` says how large the folio may
    /// be that starts behind so many pages.
    pub(crate) fn collect(
        source: &mut IovIterSource<'_>,
        len: usize,
        gfp: bindings::gfp_t,
        max_order: impl Fn(usize) -> u32,
    ) -> Result<Self> {
        let len = len.min(source.len());
        let data = Self::fill_with(len, gfp, max_order, |folio, want| {
            folio.append_from(source, want)
        })?;
        if data.len == 0 && len > 0 {
            return Err(EFAULT);
        }
        Ok(data)
    }

    /// Has folios filled by `fill`, which is told how much to append and returns how much it has.
    /// Ends after `len` bytes or when `fill` appends less.
    pub(super) fn fill_with(
        len: usize,
        gfp: bindings::gfp_t,
        max_order: impl Fn(usize) -> u32,
        mut fill: impl FnMut(&mut OwnedFolio, usize) -> usize,
    ) -> Result<Self> {
        let mut folios = KVVec::new();
        let mut filled = 0usize;
        while filled < len {
            let left = len - filled;
            let fits = (left / PAGE_SIZE).checked_ilog2().unwrap_or(0);
            let mut folio = OwnedFolio::up_to(gfp, fits.min(max_order(filled / PAGE_SIZE)))?;
            let want = left.min(folio.size());
            let got = fill(&mut folio, want);
            filled += got;
            if got > 0 {
                folios.push(folio, GFP_KERNEL)?;
            }
            if got < want {
                break;
            }
        }
        Ok(Self {
            folios,
            len: filled,
        })
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
        let mut folios = KVVec::with_capacity(bytes.len().div_ceil(PAGE_SIZE), GFP_KERNEL)?;
        for chunk in bytes.chunks(PAGE_SIZE) {
            let mut page = OwnedFolio::new()?;
            page.append(chunk);
            folios.push(page, GFP_KERNEL)?;
        }
        Ok(Self {
            folios,
            len: bytes.len(),
        })
    }

    /// Appends `len` bytes by `copy`, which is told how many it has copied before, where to, and
    /// how many to copy there.
    fn append_with(&mut self, len: usize, mut copy: impl FnMut(usize, *mut u8, usize)) -> Result {
        let mut done = 0usize;
        while done < len {
            let added = match self.folios.last_mut() {
                Some(last) => last.append_with(len - done, |to, len| copy(done, to, len)),
                None => 0,
            };
            if added == 0 {
                // What comes in small pieces gets folios of growing size.
                let wanted = (len - done).max(self.len) / PAGE_SIZE;
                let order = wanted.checked_ilog2().unwrap_or(0).min(MAX_PRIVATE_ORDER);
                let folio = match OwnedFolio::from_reserve(order) {
                    Some(folio) => folio,
                    None => OwnedFolio::up_to(bindings::GFP_KERNEL, order)?,
                };
                self.folios.push(folio, GFP_KERNEL)?;
            }
            done += added;
            self.len += added;
        }
        Ok(())
    }

    /// Appends `bytes` of `folio`, which others may change.
    ///
    /// # Safety
    ///
    /// There is a reference to `folio`, in which the bytes lie.
    pub(crate) unsafe fn append_folio(
        &mut self,
        folio: *mut bindings::folio,
        bytes: Range<usize>,
    ) -> Result {
        self.append_with(bytes.len(), |done, to, len| {
            // SAFETY: By the safety requirements.
            unsafe {
                bindings::fuse_rs_helper_memcpy_from_folio(
                    to.cast(),
                    folio,
                    bytes.start + done,
                    len,
                );
            }
        })
    }

    /// Drops what comes behind the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        let mut left = len.min(self.len);
        self.len = left;
        self.folios.retain(|folio| {
            let keep = left > 0;
            folio.filled = folio.filled.min(left);
            left -= folio.filled;
            keep
        });
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
        self.folios
            .iter()
            .try_for_each(|folio| dest.put_pages(&SharedPages(folio)))
    }

    /// Where the bytes are.
    pub(crate) fn folios(&self) -> &[OwnedFolio] {
        &self.folios
    }

    /// Takes the data apart.
    pub(crate) fn into_folios(self) -> KVVec<OwnedFolio> {
        self.folios
    }
}

/// Bytes of folios, one after the other.
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    folios: core::slice::Iter<'a, OwnedFolio>,
}

impl<'a> Cursor<'a> {
    /// From the first byte.
    pub(crate) fn new(folios: &'a [OwnedFolio]) -> Self {
        Self {
            rest: &[],
            folios: folios.iter(),
        }
    }

    /// Lets `with` have the next `len` bytes, as far as there are that many, piece by piece.
    fn advance(&mut self, mut len: usize, mut with: impl FnMut(&[u8])) {
        while len > 0 {
            while self.rest.is_empty() {
                match self.folios.next() {
                    Some(folio) => self.rest = folio.bytes(),
                    None => return,
                }
            }
            let (piece, rest) = self.rest.split_at(len.min(self.rest.len()));
            with(piece);
            len -= piece.len();
            self.rest = rest;
        }
    }

    /// Leaves the next `len` bytes out.
    pub(crate) fn skip(&mut self, len: usize) {
        self.advance(len, |_| ());
    }

    /// Copies the next `len` bytes into `folio` at `to`, as far as both reach.
    pub(crate) fn copy_to_folio(&mut self, len: usize, folio: &mut LockedFolio, to: usize) {
        let mut to = to;
        self.advance(len, |bytes| {
            folio.write(to, bytes);
            to += bytes.len();
        });
    }
}
