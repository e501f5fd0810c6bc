// SPDX-License-Identifier: GPL-2.0

//! Listing directories.

use super::inode;
use super::OpenFile;
use crate::connection::call::Envelope;
use crate::prelude::*;
use fuse_pure::logic::dirents::Entries;
use fuse_pure::op::rw::Readdir;
use kernel_glue::mem::pages::PAGE_SIZE;
use kernel_glue::vfs::file::DirEmitter;

/// Most bytes of entries asked for at a time, if the server takes as many pages.
const MAX: usize = 32 * PAGE_SIZE;

/// Passes entries on from the emitter's position, one reply of the server's at a time.
pub(crate) fn iterate(file: &OpenFile<'_>, out: &mut DirEmitter<'_>) -> Result {
    let dir = file.inode();
    let handle = file.handle().ok_or(EIO)?;
    let envelope = Envelope::by_caller(inode::node(dir)?).with(handle.open_there());
    let connection = inode::connection(dir);
    let max_pages = usize::from(connection.wait_ready()?.max_pages);
    let max = max_pages.saturating_mul(PAGE_SIZE).clamp(PAGE_SIZE, MAX);
    let op = Readdir {
        fh: handle.fh(),
        offset: out.position(),
        size: u32::try_from(out.space().clamp(PAGE_SIZE, max)).map_err(|_| EINVAL)?,
        flags: file.flags(),
    };
    let _turn = inode::turn(dir)?;
    let ((), reply) = connection.call_for_bytes(&op, envelope)?;
    for entry in Entries::new(reply.body()) {
        let entry = entry.map_err(|_| {
            warn_ratelimited!("bad directory entry\n");
            EIO
        })?;
        if !out.emit(entry.name, entry.ino, entry.kind, entry.next) {
            break;
        }
    }
    Ok(())
}
