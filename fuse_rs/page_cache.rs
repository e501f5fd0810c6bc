// SPDX-License-Identifier: GPL-2.0

//! Data of files, through the page cache and past it.

mod cached_write;
mod content;
mod copy;
mod direct;
pub(crate) mod in_flight;
pub(crate) mod lender;
pub(crate) mod over;
pub(crate) mod read;
pub(crate) mod retrieve;
pub(crate) mod stale;
mod transfer;
pub(crate) mod write;
pub(crate) mod writeback;

use crate::dax;
use crate::filesystem::inode;
use crate::filesystem::range;
use crate::filesystem::Fuse;
use crate::filesystem::Inode;
use crate::filesystem::OpenFile;
use crate::prelude::*;
use core::ops::Range;
use fuse_pure::abi::init::InitFlags;
use kernel_glue::mm::fault::MapOperations;
use kernel_glue::mm::fault::Sharing;
use kernel_glue::mm::folio::LockedFolio;
use kernel_glue::mm::readahead::Readahead;
use kernel_glue::vfs::io::Io;
use kernel_glue::vfs::io::IoOperations;
use kernel_glue::vfs::page_ops::PageOperations;
use kernel_glue::vfs::page_ops::ReadStart;

pub(crate) use direct::write_past;

impl IoOperations for Fuse {
    fn read(io: Io<'_, Self>, to: &mut IovIterDest<'_>) -> Result<usize> {
        if io.file().inode().is_in_memory() {
            return dax::rw::read(io, to);
        }
        read::read(io, to)
    }

    fn write(io: Io<'_, Self>, from: &mut IovIterSource<'_>) -> Result<usize> {
        if io.file().inode().is_in_memory() {
            return dax::rw::write(io, from);
        }
        write::write(io, from)
    }

    fn lends_cache(file: &OpenFile<'_>, end: u64) -> Result<bool> {
        if file.handle().ok_or(EIO)?.is_direct() {
            return Ok(false);
        }
        read::believe(file.inode(), end)?;
        Ok(true)
    }
}

impl MapOperations for Fuse {
    fn map(file: &OpenFile<'_>, sharing: Sharing) -> Result {
        let handle = file.handle().ok_or(EIO)?;
        let inode = file.inode();
        if inode.is_in_memory() {
            return inode::node(inode).map(|_| ());
        }
        if handle.is_direct() {
            let allowed = inode::connection(inode).has(InitFlags::DIRECT_IO_ALLOW_MMAP);
            if sharing != Sharing::Private && !allowed {
                // Such a file is not to be cached, and a shared mapping is a cache.
                return Err(ENODEV);
            }
            // What an earlier mapping has left is not what the server has now.
            stale::drop_all(inode)?;
        } else {
            stale::catch_up(inode)?;
        }
        if sharing == Sharing::Writable {
            let in_flight = &inode.data().in_flight;
            if let Some(open) = handle.open_there() {
                in_flight.add_writer(open);
            }
            inode.forbid_large_folios();
            if in_flight.set_mapped() && inode.has_pages() {
                // Which page of a folio is stored to is not to be known, and the others are not to
                // be written.
                writeback::start(inode);
                stale::drop_all(inode)?;
            }
        }
        Ok(())
    }

    fn before_store(inode: &Inode, range: Range<u64>) -> Result {
        inode.data().in_flight.wait_to_dirty(range)
    }

    fn may_store(inode: &Inode, range: Range<u64>) -> bool {
        inode.data().in_flight.may_dirty(range)
    }

    fn unmapped(file: &OpenFile<'_>) {
        writeback::start(file.inode());
    }
}

impl PageOperations for Fuse {
    fn read_folio(
        inode: &Inode,
        file: Option<&OpenFile<'_>>,
        folio: LockedFolio,
    ) -> Result<ReadStart> {
        read::read_folio(inode, file, folio)
    }

    fn device_block(inode: &Inode, block: u64) -> u64 {
        range::device_block(inode, block)
    }

    fn readahead(inode: &Inode, file: Option<&OpenFile<'_>>, folios: Readahead<'_>) {
        read::readahead(inode, file, folios);
    }
}
