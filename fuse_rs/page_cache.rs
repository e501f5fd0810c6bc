// SPDX-License-Identifier: GPL-2.0

//! Data of files, through the page cache and past it.

mod direct;
mod over;
pub(crate) mod read;
pub(crate) mod retrieve;
pub(crate) mod stale;
mod transfer;
pub(crate) mod write;

use crate::filesystem::range;
use crate::filesystem::Fuse;
use crate::filesystem::Inode;
use crate::filesystem::OpenFile;
use crate::prelude::*;
use kernel_glue::mm::folio::LockedFolio;
use kernel_glue::mm::readahead::Readahead;
use kernel_glue::vfs::io::Io;
use kernel_glue::vfs::io::IoOperations;
use kernel_glue::vfs::page_ops::PageOperations;

impl IoOperations for Fuse {
    fn read(io: Io<'_, Self>, to: &mut IovIterDest<'_>) -> Result<usize> {
        read::read(io, to)
    }

    fn write(io: Io<'_, Self>, from: &mut IovIterSource<'_>) -> Result<usize> {
        write::write(io, from)
    }

    fn lends_cache(file: &OpenFile<'_>, end: u64) -> Result<bool> {
        if file.handle().ok_or(EIO)?.is_direct() {
            return Ok(false);
        }
        read::believe(file.inode(), end)?;
        Ok(true)
    }

    fn map(file: &OpenFile<'_>, shared: bool) -> Result {
        let handle = file.handle().ok_or(EIO)?;
        if handle.is_direct() {
            if shared {
                // Such a file is not to be cached, and a shared mapping is a cache.
                return Err(ENODEV);
            }
            // What an earlier mapping has left is not what the server has now.
            return stale::drop_all(file.inode());
        }
        stale::catch_up(file.inode())
    }
}

impl PageOperations for Fuse {
    fn read_folio(inode: &Inode, file: Option<&OpenFile<'_>>, folio: LockedFolio) -> Result {
        read::read_folio(inode, file, folio)
    }

    fn device_block(inode: &Inode, block: u64) -> u64 {
        range::device_block(inode, block)
    }

    fn readahead(inode: &Inode, file: Option<&OpenFile<'_>>, folios: Readahead<'_>) {
        read::readahead(inode, file, folios);
    }
}
