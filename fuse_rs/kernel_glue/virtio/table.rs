// SPDX-License-Identifier: GPL-2.0

//! What a device is to read and to write, as a scatter-gather table.

use crate::bindings;
use crate::mem::pages::PageData;
use crate::mem::pages::PAGE_SIZE;
use crate::mem::user_pages::UserPages;
use crate::mm::folio::FolioRun;
use crate::mm::lent::FolioParts;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use kernel::prelude::*;

/// An entry of a table.
pub(super) type Entry = bindings::scatterlist;

/// What travels through a queue.
pub trait Load: Send + Sized + 'static {
    /// Enters the memory that the device is to read, and then that which it is to write. Must not
    /// sleep.
    ///
    /// # Errors
    ///
    /// Those of the methods of [`Table`].
    fn describe<'a>(&'a mut self, table: &mut Table<'a>) -> Result;
}

/// Lists memory. What is listed is borrowed for `'a`: it lies still, and nobody writes to it, or
/// reads what the device is to write.
pub struct Table<'a> {
    entries: &'a mut [MaybeUninit<Entry>],
    readable: usize,
    writable: usize,
    writable_bytes: usize,
    _listed: PhantomData<&'a mut [u8]>,
}

impl<'a> Table<'a> {
    /// An empty one with room for as many entries.
    pub(super) fn new(entries: &'a mut [MaybeUninit<Entry>]) -> Self {
        Self {
            entries,
            readable: 0,
            writable: 0,
            writable_bytes: 0,
            _listed: PhantomData,
        }
    }

    /// How many entries the device is to read, and how many it is to write.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.readable, self.writable)
    }

    /// Bytes that the device may write.
    pub(super) fn writable_bytes(&self) -> usize {
        self.writable_bytes
    }

    fn next(&mut self) -> Result<*mut Entry> {
        let entry = self.entries.get_mut(self.readable + self.writable);
        Ok(entry.ok_or(E2BIG)?.write(pin_init::zeroed()))
    }

    fn count(&mut self, writable: bool, len: usize) -> Result {
        if writable {
            self.writable += 1;
            self.writable_bytes += len;
        } else if self.writable == 0 {
            self.readable += 1;
        } else {
            // What it reads comes first.
            return Err(EINVAL);
        }
        Ok(())
    }

    /// # Safety
    ///
    /// The page is valid for `'a`; so many bytes lie behind `offset` in it and the pages of the same
    /// folio that follow.
    unsafe fn page(
        &mut self,
        page: *mut bindings::page,
        offset: usize,
        len: usize,
        writable: bool,
    ) -> Result {
        let entry = self.next()?;
        let (offset, size) = (u32::try_from(offset)?, u32::try_from(len)?);
        // SAFETY: The entry is valid for writing.
        unsafe { bindings::fuse_rs_helper_sg_set_page(entry, page, size, offset) };
        self.count(writable, len)
    }

    /// # Safety
    ///
    /// The folio is valid for `'a`, and the bytes lie in it.
    unsafe fn folio(
        &mut self,
        folio: *mut bindings::folio,
        offset: usize,
        len: usize,
        writable: bool,
    ) -> Result {
        // SAFETY: By the safety requirements.
        unsafe {
            let page = bindings::fuse_rs_helper_folio_page(folio, offset);
            self.page(page, offset % PAGE_SIZE, len, writable)
        }
    }

    /// # Safety
    ///
    /// The bytes are valid for `'a`.
    unsafe fn bytes(&mut self, start: *const u8, len: usize, writable: bool) -> Result {
        // SAFETY: Only looks at the address.
        if !unsafe { bindings::fuse_rs_helper_is_vmalloc(start.cast()) } {
            let entry = self.next()?;
            let size = u32::try_from(len)?;
            // SAFETY: The entry is valid for writing; the bytes lie in a row.
            unsafe { bindings::fuse_rs_helper_sg_set_buf(entry, start.cast(), size) };
            return self.count(writable, len);
        }
        let mut done = 0;
        while done < len {
            // SAFETY: Within the bytes, which are valid.
            let at = unsafe { start.add(done) };
            let offset = at.addr() % PAGE_SIZE;
            let part = (PAGE_SIZE - offset).min(len - done);
            // SAFETY: Memory of vmalloc consists of pages, which stay as long as it is valid.
            unsafe {
                let page = bindings::vmalloc_to_page(at.cast());
                self.page(page, offset, part, writable)?;
            }
            done += part;
        }
        Ok(())
    }

    /// The device reads `bytes`.
    ///
    /// # Errors
    ///
    /// `E2BIG` when the table is full, `EINVAL` behind something that it writes; so for all methods.
    pub fn read_bytes(&mut self, bytes: &'a [u8]) -> Result {
        // SAFETY: They are borrowed for `'a`.
        unsafe { self.bytes(bytes.as_ptr(), bytes.len(), false) }
    }

    /// The device writes `bytes`.
    pub fn write_bytes(&mut self, bytes: &'a mut [u8]) -> Result {
        // SAFETY: They are borrowed for `'a`.
        unsafe { self.bytes(bytes.as_mut_ptr(), bytes.len(), true) }
    }

    /// The device reads `data`.
    pub fn read_data(&mut self, data: &'a PageData) -> Result {
        for folio in data.folios() {
            let bytes = folio.bytes();
            if !bytes.is_empty() {
                self.read_bytes(bytes)?;
            }
        }
        Ok(())
    }

    /// The device reads `parts`, which others may change meanwhile.
    pub fn read_folios(&mut self, parts: &'a FolioParts) -> Result {
        for (folio, bytes) in parts.places() {
            // SAFETY: The value owns a reference to the folio, in which the bytes lie.
            unsafe { self.folio(folio, bytes.start, bytes.len(), false) }?;
        }
        Ok(())
    }

    /// The device writes the folios of `run`.
    pub fn write_run(&mut self, run: &'a mut FolioRun) -> Result {
        for folio in run.folios() {
            // SAFETY: The run owns a reference to the folio, and all its bytes.
            unsafe { self.folio(folio.as_ptr(), 0, folio.size(), true) }?;
        }
        Ok(())
    }

    /// The device reads `pages`, which others may change meanwhile.
    pub fn read_user_pages(&mut self, pages: &'a UserPages) -> Result {
        self.user_pages(pages, false)
    }

    /// The device writes `pages`, which others may change meanwhile.
    pub fn write_user_pages(&mut self, pages: &'a mut UserPages) -> Result {
        pages.set_filled();
        self.user_pages(pages, true)
    }

    fn user_pages(&mut self, pages: &'a UserPages, writable: bool) -> Result {
        for piece in pages.pieces() {
            let (page, offset, len) = piece.place();
            // SAFETY: The value keeps the page, in which the bytes lie.
            unsafe { self.page(page, offset, len, writable) }?;
        }
        Ok(())
    }

    /// Closes both lists; where they start.
    pub(super) fn finish(self) -> [Option<*mut Entry>; 2] {
        let start = self.entries.as_mut_ptr().cast::<Entry>();
        let close = |first: usize, count: usize| {
            let last = (first + count).checked_sub(1).filter(|_| count > 0)?;
            // SAFETY: Both were written, and lie in the table.
            unsafe {
                bindings::fuse_rs_helper_sg_mark_end(start.add(last));
                Some(start.add(first))
            }
        };
        [close(0, self.readable), close(self.readable, self.writable)]
    }
}
