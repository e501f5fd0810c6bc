// SPDX-License-Identifier: GPL-2.0

//! Writing dirty folios back.

use super::folio::LockedFolio;
use super::lent::LentFolios;
use super::no_fs::NoFs;
use crate::bindings;
use crate::mem::pages::PageData;
use crate::mem::pages::PAGE_SIZE;
use crate::vfs::inode::Inode;
use crate::vfs::FileSystem;
use core::marker::PhantomData;
use core::ops::Range;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;

/// What is to be written back, and how.
pub struct WritebackControl<'a> {
    control: NonNull<bindings::writeback_control>,
    _borrow: PhantomData<&'a mut bindings::writeback_control>,
}

impl WritebackControl<'_> {
    /// Wraps the argument of `writepages`.
    ///
    /// # Safety
    ///
    /// `control` is valid while the value lives.
    pub(crate) unsafe fn from_raw(control: *mut bindings::writeback_control) -> Self {
        Self {
            // SAFETY: By the safety requirements.
            control: unsafe { NonNull::new_unchecked(control) },
            _borrow: PhantomData,
        }
    }

    /// Whether all of it must be written: somebody wants to know that it is.
    pub fn is_for_integrity(&self) -> bool {
        // SAFETY: Valid while the value lives.
        unsafe { (*self.control.as_ptr()).sync_mode == bindings::writeback_sync_modes_WB_SYNC_ALL }
    }
}

/// A folio that was dirty: clean for the kernel, and nobody can store to it before it is unlocked.
/// Dropping it unlocks it, and makes it dirty again unless it is lent.
///
/// # Invariants
///
/// The folio is locked and in a page cache, and was made clean for I/O. `control` is null or that
/// of the writeback going on, which lasts longer than the value.
pub struct DirtyFolio {
    /// `None` when it is written.
    folio: Option<LockedFolio>,
    position: u64,
    size: usize,
    control: *mut bindings::writeback_control,
    /// Whether the lock is given back to who gave it.
    keeps_lock: bool,
    lent: bool,
}

impl DirtyFolio {
    /// Takes over a locked folio.
    ///
    /// # Safety
    ///
    /// As the type's invariants.
    unsafe fn new(
        folio: LockedFolio,
        control: *mut bindings::writeback_control,
        keeps_lock: bool,
    ) -> Self {
        // INVARIANT: By the safety requirements.
        Self {
            position: folio.position(),
            size: folio.size(),
            folio: Some(folio),
            control,
            keeps_lock,
            lent: false,
        }
    }

    /// Position in the file in bytes.
    #[inline]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Size in bytes.
    #[inline]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Which of its pages are dirty, as bits.
    #[inline]
    pub fn dirty_bits(&self) -> u64 {
        if self.size == PAGE_SIZE {
            return u64::MAX;
        }
        let bits = self.folio.as_ref().and_then(LockedFolio::dirty_bits);
        bits.unwrap_or(u64::MAX)
    }

    /// Zeroes everything from `offset`, which lies behind the end of the file.
    pub fn zero_from(&mut self, offset: usize) {
        if let Some(folio) = &mut self.folio {
            folio.zero_from(offset);
        }
    }

    /// Appends a copy of `len` bytes from `offset` to `data`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; some of it may have been appended.
    pub fn copy_to(&self, offset: usize, len: usize, data: &mut PageData) -> Result {
        match &self.folio {
            Some(folio) if offset.saturating_add(len) <= self.size => {
                // SAFETY: There is a reference to the folio; the bytes lie in it.
                unsafe { data.append_folio(folio.as_ptr(), offset..offset + len) }
            }
            _ => Err(EINVAL),
        }
    }

    /// Lends `bytes` of it, which start where a page does and are all that is dirty: it is being
    /// written back from where it lies.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no room in `to`; `EINVAL` if it does not have the bytes, or is lent.
    pub fn lend(&mut self, bytes: Range<usize>, to: &mut LentFolios) -> Result {
        let lies_in_it = bytes.start % PAGE_SIZE == 0 && bytes.end <= self.size;
        let folio = self.folio.as_ref().filter(|_| !self.lent).ok_or(EINVAL)?;
        if bytes.is_empty() || !lies_in_it {
            return Err(EINVAL);
        }
        // SAFETY: The folio is locked, was made clean for I/O by the type's invariants, and is not
        // being written back, since the kernel gives out only such that are not.
        unsafe { to.push(folio.pointer(), bytes) }?;
        self.lent = true;
        Ok(())
    }

    /// What was lent of it is not written: it is dirty as before.
    pub fn take_back(&mut self) {
        self.lent = false;
    }

    /// The content is copied or lent: for the kernel, the folio is written or being so.
    pub fn written(mut self) {
        if let Some(mut folio) = self.folio.take() {
            if !self.lent {
                folio.pass_through_writeback();
            } else if self.size > PAGE_SIZE {
                folio.clear_dirty_bits();
            }
            self.unlock(folio);
        }
    }

    fn unlock(&self, folio: LockedFolio) {
        if self.keeps_lock {
            folio.leave_locked();
        }
    }
}

impl Drop for DirtyFolio {
    fn drop(&mut self) {
        if let Some(folio) = self.folio.take() {
            if !self.lent {
                folio.make_dirty_again(self.control);
            }
            self.unlock(folio);
        }
    }
}

impl<T: FileSystem> Inode<T> {
    /// Calls `with` for each folio that is to be written back, in ascending order; it may keep what
    /// it gets until the end of its own writeback. The first error is returned, after everything
    /// was tried if it must be written.
    pub fn for_each_dirty(
        &self,
        control: &mut WritebackControl<'_>,
        mut with: impl FnMut(DirtyFolio) -> Result,
    ) -> Result {
        let raw = control.control.as_ptr();
        let mut folio = core::ptr::null_mut();
        let mut error = 0;
        loop {
            // SAFETY: The control is valid; the folio is null or the last one returned, of which
            // the value made below has been dropped or has a reference.
            folio = unsafe { bindings::writeback_iter(self.mapping(), raw, folio, &mut error) };
            let Some(dirty) = NonNull::new(folio) else {
                return to_result(error);
            };
            // SAFETY: The folio comes locked; the reference is the iterator's, so one is taken.
            let dirty = unsafe {
                bindings::fuse_rs_helper_folio_get(folio);
                LockedFolio::from_raw(dirty)
            };
            // SAFETY: The iterator returns folios of the mapping that it has made clean for I/O.
            let dirty = unsafe { DirtyFolio::new(dirty, raw, false) };
            error = with(dirty).err().map_or(0, Error::to_errno);
        }
    }

    /// Whether there are dirty pages, as far as is known.
    pub fn has_dirty_pages(&self) -> bool {
        // SAFETY: The mapping is valid as long as the inode; a racy look, as everywhere in the
        // kernel.
        unsafe { bindings::fuse_rs_helper_mapping_is_dirty(self.mapping()) }
    }

    /// Starts writing the dirty pages with bytes from `start` up to `end` back, all of them.
    ///
    /// # Context
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// Those of `writepages`.
    pub fn write_dirty_pages(&self, start: u64, end: u64) -> Result {
        let last = end.saturating_sub(1).min(i64::MAX as u64);
        // SAFETY: The mapping is valid as long as the inode.
        to_result(unsafe {
            bindings::filemap_fdatawrite_range(self.mapping(), start as i64, last as i64)
        })
    }

    /// Whoever has the file open is to hear of this error when asking whether all is written.
    pub fn set_write_error(&self, error: Error) {
        // SAFETY: The mapping is valid as long as the inode.
        unsafe { bindings::fuse_rs_helper_mapping_set_error(self.mapping(), error.to_errno()) };
    }
}

/// Pages that the kernel takes for written and that are not yet: they count as being written back.
pub struct WritebackPages<T: FileSystem> {
    inode: ARef<Inode<T>>,
    pages: usize,
}

impl<T: FileSystem> WritebackPages<T> {
    /// Counts the pages of `len` bytes from the start of one.
    pub fn count(inode: ARef<Inode<T>>, len: usize) -> Self {
        let this = Self {
            inode,
            pages: len.div_ceil(PAGE_SIZE),
        };
        this.modify(this.pages as isize);
        this
    }

    /// Their number.
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// Their inode.
    pub fn inode(&self) -> &ARef<Inode<T>> {
        &self.inode
    }

    fn modify(&self, pages: isize) {
        // SAFETY: The inode has a backing device as long as it is used.
        unsafe { bindings::fuse_rs_helper_count_writeback(self.inode.as_ptr(), pages) };
    }
}

impl<T: FileSystem> Drop for WritebackPages<T> {
    fn drop(&mut self) {
        self.modify(-(self.pages as isize));
    }
}

/// Operations of writing back. They run without locks but those of folios, and memory is not to be
/// had by asking file systems for theirs.
pub trait WritebackOperations: FileSystem {
    /// Writes dirty pages back. May sleep, but not for anybody outside the kernel.
    fn write_back(inode: &Inode<Self>, control: &mut WritebackControl<'_>) -> Result;

    /// Writes a folio back before it is dropped. As for [`WritebackOperations::write_back`].
    fn launder(inode: &Inode<Self>, folio: DirtyFolio) -> Result;
}

/// # Safety
///
/// Called by the page cache for a file of the file system.
pub(crate) unsafe extern "C" fn writepages<T: WritebackOperations>(
    mapping: *mut bindings::address_space,
    control: *mut bindings::writeback_control,
) -> i32 {
    let _scope = NoFs::begin();
    c_result!({
        // SAFETY: By the safety requirements.
        let (inode, mut control) = unsafe {
            (
                Inode::<T>::from_raw((*mapping).host),
                WritebackControl::from_raw(control),
            )
        };
        T::write_back(inode, &mut control)?;
        Ok(0)
    })
}

/// # Safety
///
/// Called by the page cache with a locked folio of a file of the file system that has private data.
pub(crate) unsafe extern "C" fn release_folio(
    folio: *mut bindings::folio,
    _: bindings::gfp_t,
) -> bool {
    // SAFETY: By the safety requirements.
    unsafe {
        // Else it would have to be known which pages are dirty.
        let clean = !bindings::fuse_rs_helper_folio_is_dirty(folio);
        if clean {
            bindings::fuse_rs_helper_folio_set_private(folio, 0);
        }
        clean
    }
}

/// # Safety
///
/// As for [`release_folio`], with a part of the folio that is dropped.
pub(crate) unsafe extern "C" fn invalidate_folio(
    folio: *mut bindings::folio,
    offset: usize,
    len: usize,
) {
    // SAFETY: By the safety requirements.
    unsafe {
        if offset == 0 && len == bindings::fuse_rs_helper_folio_size(folio) {
            bindings::fuse_rs_helper_folio_set_private(folio, 0);
        }
    }
}

/// # Safety
///
/// Called by the page cache with a locked folio of a file of the file system, which no user has
/// mapped any more.
pub(crate) unsafe extern "C" fn launder_folio<T: WritebackOperations>(
    folio: *mut bindings::folio,
) -> i32 {
    let _scope = NoFs::begin();
    c_result!({
        // SAFETY: By the safety requirements. A reference is taken for the value below, which
        // leaves the lock to the caller.
        unsafe {
            if !bindings::folio_clear_dirty_for_io(folio) {
                return Ok(0);
            }
            bindings::fuse_rs_helper_folio_get(folio);
            let inode = Inode::<T>::from_raw((*bindings::fuse_rs_helper_folio_mapping(folio)).host);
            let folio = LockedFolio::from_raw(NonNull::new_unchecked(folio));
            // The folio was just made clean for I/O.
            let dirty = DirtyFolio::new(folio, core::ptr::null_mut(), true);
            T::launder(inode, dirty)?;
        }
        Ok(0)
    })
}
