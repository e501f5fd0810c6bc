// SPDX-License-Identifier: GPL-2.0

//! The page cache of one file.

use super::folio::LockedFolio;
use crate::bindings;
use crate::mem::pages::Cursor;
use crate::mem::pages::OwnedFolio;
use crate::mem::pages::PageData;
use crate::mem::pages::PAGE_SIZE;
use crate::vfs::inode::Inode;
use crate::vfs::inode::NewInode;
use crate::vfs::FileSystem;
use kernel::iov::IovIterSource;
use kernel::prelude::*;

const PAGE: u64 = PAGE_SIZE as u64;

/// Most pages of a folio in the page cache: which of them are dirty is kept in a word.
pub const MAX_FOLIO_PAGES: usize = u64::BITS as usize;

/// Appends up to `left` bytes of a folio to `data`, from the position `at` of the file on, which
/// lies in it; whether they are valid.
///
/// # Safety
///
/// There is a reference to `folio`, which is one of a page cache.
unsafe fn copy_from_folio(
    data: &mut PageData,
    folio: *mut bindings::folio,
    at: u64,
    left: usize,
) -> Result<bool> {
    // SAFETY: By the safety requirements.
    let (size, start, valid) = unsafe {
        (
            bindings::fuse_rs_helper_folio_size(folio),
            bindings::fuse_rs_helper_folio_pos(folio) as u64,
            bindings::fuse_rs_helper_folio_uptodate(folio),
        )
    };
    let within = usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
    let len = size.saturating_sub(within).min(left);
    if !valid || len == 0 {
        return Ok(false);
    }
    // SAFETY: By the safety requirements; the bytes lie in the folio.
    unsafe { data.append_folio(folio, within..within + len) }?;
    Ok(true)
}

impl<T: FileSystem> NewInode<T> {
    /// Lets the page cache of the file have folios of more than a page, up to `bytes`. The file
    /// system then fills any that it is given in one go. They have no more than
    /// [`MAX_FOLIO_PAGES`] in any case.
    pub fn allow_large_folios(&self, bytes: usize) {
        let pages = (bytes / PAGE_SIZE).min(MAX_FOLIO_PAGES);
        let order = pages.checked_ilog2().unwrap_or(0);
        // SAFETY: The inode is new, so nobody else uses its mapping.
        unsafe { bindings::fuse_rs_helper_set_max_folio_order(self.mapping(), order) };
    }

    /// Who reclaims memory does not wait for pages of the file that are being written back.
    pub fn spare_reclaim(&self) {
        // SAFETY: As above.
        unsafe { bindings::fuse_rs_helper_keep_reclaim_from_waiting(self.mapping()) };
    }
}

impl<T: FileSystem> Inode<T> {
    /// From now on the page cache of the file gets folios of one page only. Larger ones may be
    /// there, and in the making.
    pub fn forbid_large_folios(&self) {
        // SAFETY: The mapping is valid as long as the inode; the flags are changed atomically.
        unsafe { bindings::fuse_rs_helper_forbid_large_folios(self.mapping()) };
    }

    fn max_folio_order(&self) -> u32 {
        // SAFETY: The mapping is valid as long as the inode.
        unsafe { bindings::fuse_rs_helper_max_folio_order(self.mapping()) }
    }

    /// Copies up to `len` bytes from `source` into pages that can become the page cache of the
    /// file at `position`, see [`Inode::cache_written`].
    ///
    /// # Context
    ///
    /// Process context; may sleep and fault.
    ///
    /// # Errors
    ///
    /// As for [`PageData::copy_from`].
    pub fn copy_for_cache(
        &self,
        source: &mut IovIterSource<'_>,
        position: u64,
        len: usize,
    ) -> Result<PageData> {
        if position % PAGE != 0 {
            return PageData::copy_from(source, len);
        }
        let max = self.max_folio_order();
        // Not movable, as pages of a cache usually are: nobody can move them while the server has
        // them, for as long as it likes.
        PageData::collect(source, len, bindings::FUSE_RS_GFP_CACHE as u32, |pages| {
            let index = (position / PAGE).wrapping_add(pages as u64);
            index.trailing_zeros().min(max)
        })
    }

    /// Brings the page cache up to date with the first `len` bytes of `data`, which are stored in
    /// the file at `position`. Pages become cached where none are, if that costs no copy.
    ///
    /// # Context
    ///
    /// May sleep, also for folios that are being read.
    pub fn cache_written(&self, position: u64, data: PageData, len: usize) {
        if position % PAGE != 0 {
            return self.update_cached(position, &data, len);
        }
        let (mut at, mut left) = (position, len);
        for folio in data.into_folios() {
            let part = folio.bytes().len().min(left);
            let whole = part == folio.size();
            let rest = if whole {
                self.insert_cached(at / PAGE, folio).err()
            } else {
                Some(folio)
            };
            if let Some(folio) = rest {
                self.update_from(at, core::slice::from_ref(&folio), part);
            }
            at = at.saturating_add(part as u64);
            left -= part;
        }
    }

    /// Copies what is cached from `position` on without a gap: up to `len` bytes. Does not wait for
    /// what is being read.
    ///
    /// # Context
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn copy_cached(&self, position: u64, len: usize) -> Result<PageData> {
        let mut data = PageData::default();
        while data.len() < len {
            let at = position.saturating_add(data.len() as u64);
            // SAFETY: The mapping is valid as long as the inode.
            let folio = unsafe {
                bindings::fuse_rs_helper_get_cached_folio(self.mapping(), (at / PAGE) as usize)
            };
            let Ok(folio) = kernel::error::from_err_ptr(folio) else {
                break;
            };
            let left = len - data.len();
            // SAFETY: The reference to the folio was just taken; it is given up below.
            let copied = unsafe { copy_from_folio(&mut data, folio, at, left) };
            // SAFETY: As above.
            unsafe { bindings::fuse_rs_helper_folio_put(folio) };
            if !copied? {
                break;
            }
        }
        Ok(data)
    }

    /// As [`Inode::cache_written`], copying from `data`.
    pub fn update_cached(&self, position: u64, data: &PageData, len: usize) {
        self.update_from(position, data.folios(), len.min(data.len()));
    }

    /// Makes a filled folio part of the page cache from page `index` on; gives it back if it does
    /// not go there, if something is there already, or if others have references.
    fn insert_cached(&self, index: u64, folio: OwnedFolio) -> Result<(), OwnedFolio> {
        let size = folio.size();
        let start = index.saturating_mul(PAGE);
        let fits = start % size as u64 == 0 && size / PAGE_SIZE <= 1 << self.max_folio_order();
        if !fits || folio.bytes().len() != size || !folio.is_unshared() {
            return Err(folio);
        }
        let mapping = self.mapping();
        // SAFETY: The mapping is valid as long as the inode. The folio is in no page cache, has an
        // order that the mapping allows and lies where such folios may.
        unsafe {
            let last = start.saturating_add(size as u64 - 1);
            if bindings::filemap_range_has_page(mapping, start as i64, last as i64) {
                return Err(folio);
            }
            let raw = folio.into_raw();
            let error = bindings::fuse_rs_helper_add_folio(mapping, raw.as_ptr(), index as usize);
            if error != 0 {
                // The folio is as it was.
                return Err(OwnedFolio::from_raw_filled(raw));
            }
            // It was added locked; the reference is ours as before.
            LockedFolio::from_raw(raw).mark_uptodate();
        }
        Ok(())
    }

    fn update_from(&self, position: u64, folios: &[OwnedFolio], len: usize) {
        let mut data = Cursor::new(folios);
        let mut done = 0usize;
        while done < len {
            let at = position.saturating_add(done as u64);
            let left = len - done;
            let in_page = (PAGE_SIZE - (at % PAGE) as usize).min(left);
            let mut part = in_page;
            match self.lock_cached_folio(at / PAGE, in_page == PAGE_SIZE) {
                Some(mut folio) => {
                    let within = at.saturating_sub(folio.position()) as usize;
                    part = left.min(folio.size().saturating_sub(within)).max(in_page);
                    if folio.is_uptodate() {
                        data.copy_to_folio(part, &mut folio, within);
                    } else if part == folio.size() {
                        data.copy_to_folio(part, &mut folio, within);
                        folio.mark_uptodate();
                    } else {
                        data.skip(part);
                    }
                }
                None => data.skip(part),
            }
            done += part;
        }
    }
}
