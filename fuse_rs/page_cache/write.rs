// SPDX-License-Identifier: GPL-2.0

//! Writing through to the server.
//!
//! The caller's data is copied once, into the request. When the server has taken it, it is copied
//! from there into the page cache, so that no folio is locked while the server is waited for.

use super::stale;
use crate::connection::call::Envelope;
use crate::filesystem::attributes;
use crate::filesystem::handle::Handle;
use crate::filesystem::inode;
use crate::filesystem::Fuse;
use crate::filesystem::Inode;
use crate::prelude::*;
use fuse_pure::abi::flags::WriteFlags;
use fuse_pure::op::rw::Write;
use kernel_glue::mem::pages::PageData;
use kernel_glue::mem::pages::PAGE_SIZE;
use kernel_glue::vfs::file::Io;

/// Writes for write(2) and its like.
pub(crate) fn write(io: &mut Io<'_, Fuse>, from: &mut IovIterSource<'_>) -> Result<usize> {
    let file = io.file();
    let inode = file.inode();
    let handle = file.handle().ok_or(EIO)?;
    inode::node(inode)?;
    let cached = !handle.is_direct() && !io.is_direct();
    if io.is_append() {
        // The end of the file is where the server says.
        attributes::refresh(inode)?;
    }
    let written = {
        let _lock = inode.lock()?;
        let allowed = io.check_write(from)?;
        if allowed == 0 {
            return Ok(0);
        }
        file.remove_privileges()?;
        write_through(io, inode, handle, from, cached)?
    };
    io.sync_written(written)
}

fn write_through(
    io: &mut Io<'_, Fuse>,
    inode: &Inode,
    handle: &Handle,
    from: &mut IovIterSource<'_>,
    cached: bool,
) -> Result<usize> {
    let connection = inode::connection(inode);
    let envelope = Envelope::by_caller(inode::node(inode)?).with(handle.open_there());
    let max = connection.wait_ready()?.max_write as usize;
    let mut total = 0usize;
    while !from.is_empty() {
        let position = io.position();
        let data =
            match PageData::copy_from(from, max).and_then(|data| Ok(Arc::new(data, GFP_KERNEL)?)) {
                Ok(data) => data,
                Err(error) if total == 0 => return Err(error),
                Err(_) => break,
            };
        let op = Write {
            fh: handle.fh(),
            offset: position,
            size: u32::try_from(data.len()).map_err(|_| EINVAL)?,
            write_flags: WriteFlags::empty(),
            flags: io.file().flags(),
        };
        let written = match connection.call_with_data(&op, envelope, data.clone()) {
            Ok(written) => written as usize,
            Err(error) => {
                // Nobody knows what of it the server has taken.
                attributes::invalidate(inode);
                let _ = stale::drop_range(inode, position, data.len() as u64);
                if total == 0 {
                    return Err(error);
                }
                break;
            }
        };
        let end = position.saturating_add(written as u64);
        if cached {
            update_cache(inode, position, &data, written);
        } else {
            // If the caller is killed, the data is written all the same.
            let _ = stale::drop_range(inode, position, written as u64);
        }
        // After the data: who sees the new size finds it.
        attributes::written(inode, end);
        io.set_position(end);
        total = total.saturating_add(written);
        if written < data.len() {
            break;
        }
    }
    if total == 0 {
        // The server took nothing and said so without an error.
        return Err(EIO);
    }
    Ok(total)
}

/// The server has sent what it has at `position`.
pub(crate) fn store(inode: &Inode, position: u64, data: &PageData) {
    update_cache(inode, position, data, data.len());
    attributes::written(inode, position.saturating_add(data.len() as u64));
}

/// Brings the page cache up to what the server has.
fn update_cache(inode: &Inode, position: u64, data: &PageData, len: usize) {
    if stale::settle(inode, position, len as u64).is_err() {
        return;
    }
    let page = PAGE_SIZE as u64;
    let mut done = 0usize;
    while done < len {
        let at = position.saturating_add(done as u64);
        let offset = (at % page) as usize;
        let part = (PAGE_SIZE - offset).min(len - done);
        let whole = part == PAGE_SIZE;
        if let Some(mut folio) = inode.lock_cached_folio(at / page, whole) {
            let within = at.saturating_sub(folio.position()) as usize;
            if folio.is_uptodate() {
                data.copy_to_folio(done, &mut folio, within, part);
            } else if whole && folio.size() == PAGE_SIZE {
                data.fill_folio(done, &mut folio);
            }
        }
        done += part;
    }
}
