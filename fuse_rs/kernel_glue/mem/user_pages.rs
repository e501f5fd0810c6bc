// SPDX-License-Identifier: GPL-2.0

//! Memory of whoever reads or writes, used where it lies.

use super::pages::OwnedFolio;
use super::pages::PageData;
use super::pages::MAX_PRIVATE_ORDER;
use super::pages::PAGE_SIZE;
use crate::bindings;
use crate::uio::Iter;
use crate::vfs::io::AsyncIo;
use kernel::iov::IovIterDest;
use kernel::iov::IovIterSource;
use kernel::prelude::*;

/// Bytes that lie next to each other in memory.
struct Run {
    /// Pages they are in.
    pages: usize,
    /// Where in the first page they start.
    offset: usize,
    len: usize,
}

/// What keeps pages from being used for something else.
enum Hold {
    /// They are pinned.
    Pinned,
    /// They are the kernel's, which lends them until the read or write is over.
    Lent {
        #[expect(dead_code, reason = "held: the end of the read or write waits for it")]
        io: AsyncIo,
    },
}

/// Memory of whoever reads or writes.
///
/// Others may change it at any time, so it is only ever copied from and to by the kernel's
/// functions for such memory.
///
/// # Invariants
///
/// The pages are valid as long as the value exists, pinned by it if `hold` says so. All of them
/// lie in the runs, one after the other.
pub struct UserPages {
    pages: KVVec<*mut bindings::page>,
    runs: KVec<Run>,
    len: usize,
    hold: Hold,
    /// Something was written to them.
    filled: bool,
}

// SAFETY: References to pages are not bound to a task or its address space.
unsafe impl Send for UserPages {}
// SAFETY: Shared access only reads the value; what is in the pages is nobody's alone anyway.
unsafe impl Sync for UserPages {}

impl UserPages {
    /// Takes the next bytes `iter` stands for, to be filled or read: up to `max_len`, in up to
    /// `max_pages`. The iterator advances. Memory that is the kernel's is taken only for `io`,
    /// which does not end before it is given back; else there is nothing.
    ///
    /// # Context
    ///
    /// Process context; may sleep and fault.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EFAULT` when nothing could be taken.
    pub fn of(
        iter: &mut impl Iter,
        max_len: usize,
        max_pages: usize,
        io: Option<&AsyncIo>,
    ) -> Result<Option<Self>> {
        let max_len = max_len.min(iter.left());
        // SAFETY: The iterator is valid, and has as many bytes.
        unsafe { Self::take(iter.raw(), max_len, max_pages, io) }
    }

    /// # Safety
    ///
    /// `iter` is valid, and has at least `max_len` bytes.
    unsafe fn take(
        iter: *mut bindings::iov_iter,
        max_len: usize,
        max_pages: usize,
        io: Option<&AsyncIo>,
    ) -> Result<Option<Self>> {
        // SAFETY: The iterator is valid.
        let hold = match (unsafe { bindings::fuse_rs_helper_user_backed(iter) }, io) {
            (true, _) => Hold::Pinned,
            (false, Some(io)) if io.is_over(iter) => Hold::Lent { io: io.clone() },
            (false, _) => return Ok(None),
        };
        let max_pages = i32::try_from(max_pages).unwrap_or(i32::MAX);
        // SAFETY: As above.
        let room = unsafe { bindings::iov_iter_npages(iter, max_pages) } as usize;
        // INVARIANT: There are no pages.
        let mut this = Self {
            pages: KVVec::with_capacity(room, GFP_KERNEL)?,
            runs: KVec::new(),
            len: 0,
            hold,
            filled: false,
        };
        while this.len < max_len && this.pages.len() < room {
            this.runs.reserve(1, GFP_KERNEL)?;
            let left = max_len - this.len;
            // SAFETY: By the safety requirements.
            let more = unsafe { this.take_run(iter, left, room - this.pages.len()) };
            match more {
                Ok(()) => {}
                Err(error) if this.len == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(Some(this))
    }

    /// Takes the next bytes that lie next to each other. There is room for a run.
    ///
    /// # Safety
    ///
    /// As for [`UserPages::take`]; there is room for `max_pages`.
    unsafe fn take_run(
        &mut self,
        iter: *mut bindings::iov_iter,
        max_len: usize,
        max_pages: usize,
    ) -> Result {
        let mut to = self.pages.spare_capacity_mut().as_mut_ptr().cast();
        let mut offset = 0;
        // SAFETY: The iterator is valid, and `to` has room for that many pages. It is not replaced,
        // as it is not null.
        let len = unsafe {
            bindings::iov_iter_extract_pages(
                iter,
                &mut to,
                max_len,
                u32::try_from(max_pages).unwrap_or(u32::MAX),
                0,
                &mut offset,
            )
        };
        let len = crate::vfs::io::size_result(len)?;
        if len == 0 {
            return Err(EFAULT);
        }
        let pages = (offset + len).div_ceil(PAGE_SIZE);
        // INVARIANT: These pages were just taken: pinned if the memory is a process's, else valid
        // until the read or write it belongs to is over, which `hold` delays.
        // SAFETY: They were stored there.
        unsafe { self.pages.inc_len(pages) };
        self.len += len;
        self.runs
            .push_within_capacity(Run { pages, offset, len })
            .map_err(|_| ENOMEM)
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Page by page.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let mut pages = self.pages.iter();
        self.runs
            .iter()
            .flat_map(|run| {
                (0..run.pages).map(|n| {
                    let start = if n == 0 { run.offset } else { 0 };
                    let end = (run.offset + run.len).saturating_sub(n * PAGE_SIZE);
                    (start, end.min(PAGE_SIZE).saturating_sub(start))
                })
            })
            .filter_map(move |(offset, len)| {
                // INVARIANT: By the type's invariants.
                pages.next().map(|page| Piece {
                    page: *page,
                    offset,
                    len,
                    _pages: self,
                })
            })
    }

    /// What is there at the moment, in pages of our own.
    ///
    /// # Context
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn copy(&self) -> Result<PageData> {
        let mut pieces = self.pieces();
        let mut piece = pieces.next();
        let (gfp, order) = (bindings::GFP_KERNEL, |_| MAX_PRIVATE_ORDER);
        PageData::fill_with(self.len, gfp, order, |folio, want| {
            let mut left = want;
            while let Some(from) = piece.as_mut().filter(|_| left > 0) {
                left -= from.move_to(folio, left);
                if from.len == 0 {
                    piece = pieces.next();
                }
            }
            want - left
        })
    }

    /// Something is written to them.
    pub(crate) fn set_filled(&mut self) {
        self.filled = true;
    }

    /// Fills the first `len` bytes from `source`; `false` if it gave fewer.
    pub fn fill(&mut self, source: &mut IovIterSource<'_>, len: usize) -> bool {
        self.set_filled();
        let mut left = len;
        for mut piece in self.pieces() {
            if left == 0 {
                break;
            }
            piece.len = piece.len.min(left);
            let copied = piece.fill(source);
            left -= copied;
            if copied < piece.len {
                break;
            }
        }
        left == 0
    }
}

impl Drop for UserPages {
    fn drop(&mut self) {
        if matches!(self.hold, Hold::Pinned) {
            // SAFETY: The pages are pinned, each once for each time it is listed.
            unsafe {
                bindings::unpin_user_pages_dirty_lock(
                    self.pages.as_mut_ptr(),
                    self.pages.len(),
                    self.filled,
                );
            }
        }
    }
}

/// Bytes in a page that others may change.
///
/// # Invariants
///
/// The page is valid as long as the value exists, and the bytes lie in it.
pub struct Piece<'a> {
    page: *mut bindings::page,
    offset: usize,
    len: usize,
    _pages: &'a UserPages,
}

impl Piece<'_> {
    /// Page, offset and length.
    pub(crate) fn place(&self) -> (*mut bindings::page, usize, usize) {
        (self.page, self.offset, self.len)
    }

    /// Copies the bytes to `dest`; `false` if it did not take all.
    pub(crate) fn copy_to_iter(&self, dest: &mut IovIterDest<'_>) -> bool {
        // SAFETY: The page is valid by the type's invariants, and so is the iterator.
        let taken =
            unsafe { bindings::copy_page_to_iter(self.page, self.offset, self.len, dest.as_raw()) };
        taken == self.len
    }

    /// Overwrites the bytes with those of `source`; returns how many it gave.
    fn fill(&mut self, source: &mut IovIterSource<'_>) -> usize {
        // SAFETY: As above.
        unsafe { bindings::copy_page_from_iter(self.page, self.offset, self.len, source.as_raw()) }
    }

    /// Appends up to `max` of the bytes to `folio`, as far as they fit, and goes on behind them.
    /// Returns how many that were.
    fn move_to(&mut self, folio: &mut OwnedFolio, max: usize) -> usize {
        let (page, offset) = (self.page, self.offset);
        let moved = folio.append_with(self.len.min(max), |to, len| {
            // SAFETY: The bytes are in the page by the type's invariants, and there is that much
            // room; a whole page starts at the start of one in both.
            unsafe {
                if len == PAGE_SIZE && to.cast_const().addr() % PAGE_SIZE == 0 {
                    bindings::fuse_rs_helper_copy_page(to.cast(), page);
                } else {
                    bindings::fuse_rs_helper_memcpy_from_page(to.cast(), page, offset, len);
                }
            }
        });
        // INVARIANT: These bytes lay in the page.
        self.offset += moved;
        self.len -= moved;
        moved
    }
}
