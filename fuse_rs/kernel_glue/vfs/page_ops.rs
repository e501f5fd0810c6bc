// SPDX-License-Identifier: GPL-2.0

//! Operations of the page cache.

use super::file::OpenFileRef;
use super::inode::Inode;
use super::FileSystem;
use crate::bindings;
use crate::mm::folio::LockedFolio;
use crate::mm::readahead::Readahead;
use crate::mm::writeback;
use crate::mm::writeback::WritebackOperations;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::prelude::*;

/// What has become of a read into a folio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadStart {
    /// It goes on, or is over.
    Started,
    /// The folio was given up, and is to be looked for again.
    Again,
}

/// Operations of the page cache. All may sleep.
pub trait PageOperations: FileSystem {
    /// Fills a folio; whoever waits does so for its lock. `file` is an open file of the inode, if
    /// one is at hand.
    fn read_folio(
        inode: &Inode<Self>,
        file: Option<&OpenFileRef<'_, Self>>,
        folio: LockedFolio,
    ) -> Result<ReadStart>;

    /// The number of the block on the file system's device that holds block `block` of the file,
    /// both in blocks of the super block; zero if there is none.
    fn device_block(inode: &Inode<Self>, block: u64) -> u64;

    /// Reads ahead.
    fn readahead(inode: &Inode<Self>, file: Option<&OpenFileRef<'_, Self>>, folios: Readahead<'_>);
}

/// The table of C callbacks of the page cache.
pub(crate) struct PageTable<T>(PhantomData<T>);

impl<T: PageOperations + WritebackOperations> PageTable<T> {
    const TABLE: bindings::address_space_operations = bindings::address_space_operations {
        read_folio: Some(read_folio::<T>),
        readahead: Some(readahead::<T>),
        bmap: Some(bmap::<T>),
        writepages: Some(writeback::writepages::<T>),
        launder_folio: Some(writeback::launder_folio::<T>),
        release_folio: Some(writeback::release_folio),
        invalidate_folio: Some(writeback::invalidate_folio),
        dirty_folio: Some(bindings::filemap_dirty_folio),
        migrate_folio: Some(bindings::filemap_migrate_folio),
        ..pin_init::zeroed()
    };

    pub(crate) const fn get() -> &'static bindings::address_space_operations {
        &Self::TABLE
    }
}

/// The table of files that are in memory of a device, and so have no page cache.
pub(super) const IN_MEMORY: &bindings::address_space_operations =
    &bindings::address_space_operations {
        dirty_folio: Some(bindings::noop_dirty_folio),
        direct_IO: Some(bindings::noop_direct_IO),
        ..pin_init::zeroed()
    };

/// # Safety
///
/// Called by the page cache with a locked folio of a file of the file system.
unsafe extern "C" fn read_folio<T: PageOperations>(
    file: *mut bindings::file,
    folio: *mut bindings::folio,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements. The lock is given up by this operation; the
        // reference is the caller's, so one is taken.
        unsafe {
            bindings::fuse_rs_helper_folio_get(folio);
            let inode = (*bindings::fuse_rs_helper_folio_mapping(folio)).host;
            let folio = LockedFolio::from_raw(NonNull::new_unchecked(folio));
            let file = NonNull::new(file).map(|file| OpenFileRef::from_raw(file.as_ptr()));
            match T::read_folio(Inode::from_raw(inode), file.as_ref(), folio)? {
                ReadStart::Started => Ok(0),
                ReadStart::Again => Ok(bindings::positive_aop_returns_AOP_TRUNCATED_PAGE as i32),
            }
        }
    })
}

/// # Safety
///
/// Called with the mapping of a file of the file system.
unsafe extern "C" fn bmap<T: PageOperations>(
    mapping: *mut bindings::address_space,
    block: bindings::sector_t,
) -> bindings::sector_t {
    // SAFETY: By the safety requirements.
    T::device_block(unsafe { Inode::from_raw((*mapping).host) }, block)
}

/// # Safety
///
/// Called by the page cache for a file of the file system.
unsafe extern "C" fn readahead<T: PageOperations>(control: *mut bindings::readahead_control) {
    // SAFETY: By the safety requirements.
    unsafe {
        let inode = (*(*control).mapping).host;
        let folios = Readahead::from_raw(NonNull::new_unchecked(control));
        let file = NonNull::new(folios.file()).map(|file| OpenFileRef::from_raw(file.as_ptr()));
        T::readahead(Inode::from_raw(inode), file.as_ref(), folios);
    }
}
