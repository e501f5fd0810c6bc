// SPDX-License-Identifier: GPL-2.0

//! Reading and writing files in the window.

use crate::filesystem::attributes;
use crate::filesystem::inode;
use crate::filesystem::set_ids;
use crate::filesystem::Fuse;
use crate::page_cache;
use crate::prelude::*;
use fuse_pure::logic::freshness::Fields;
use kernel_glue::vfs::io::Io;

/// Reads.
pub(crate) fn read(mut io: Io<'_, Fuse>, to: &mut IovIterDest<'_>) -> Result<usize> {
    let file = io.file();
    let inode = file.inode();
    inode::node(inode)?;
    if io.position().saturating_add(to.len() as u64) > inode.size() {
        // The end of the file is where the server says.
        attributes::refresh_some(inode, Fields::SIZE)?;
    }
    let _lock = inode.lock_shared()?;
    io.read_memory(to).map_err(told)
}

/// What a caller is told when the device is gone.
fn told(error: Error) -> Error {
    if error == ENXIO {
        ENOTCONN
    } else {
        error
    }
}

/// Writes: within the file to memory, and what makes it longer as a whole by WRITE.
pub(crate) fn write(mut io: Io<'_, Fuse>, from: &mut IovIterSource<'_>) -> Result<usize> {
    let file = io.file();
    let inode = file.inode();
    let handle = file.handle().ok_or(EIO)?;
    inode::node(inode)?;
    if io.is_append() {
        attributes::refresh_some(inode, Fields::SIZE)?;
    }
    let written = {
        let _lock = inode.lock()?;
        let len = io.check_write(from)?;
        if len == 0 {
            return Ok(0);
        }
        let end = io.position().saturating_add(len as u64);
        if end > inode.size() {
            file.remove_privileges()?;
            page_cache::write_past(&mut io, handle, from)?
        } else {
            // The server does not see what is written.
            set_ids::drop_here(&file)?;
            let written = io.write_memory(from).map_err(told)?;
            attributes::written(inode, 0);
            written
        }
    };
    io.sync_written(written)
}
