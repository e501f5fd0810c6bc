// SPDX-License-Identifier: GPL-2.0

//! Writing through to the server.
//!
//! The caller's data is copied once, into pages of the request. When the server has taken it, these
//! become the page cache, or are copied to what is there already, so that no folio is locked while
//! the server is waited for.

use super::cached_write;
use super::direct;
use super::direct::written_at_all;
use super::in_flight;
use super::stale;
use crate::connection::call::Envelope;
use crate::connection::payload::Payload;
use crate::filesystem::attributes;
use crate::filesystem::handle::Handle;
use crate::filesystem::inode;
use crate::filesystem::kept;
use crate::filesystem::set_ids;
use crate::filesystem::Fuse;
use crate::filesystem::Inode;
use crate::prelude::*;
use fuse_pure::logic::freshness::Fields;
use fuse_pure::op::rw::Write;
use kernel_glue::mem::pages::PageData;
use kernel_glue::mem::pages::PAGE_SIZE;
use kernel_glue::uio;
use kernel_glue::vfs::io::Io;

/// Writes for write(2) and its like.
pub(crate) fn write(mut io: Io<'_, Fuse>, from: &mut IovIterSource<'_>) -> Result<usize> {
    let file = io.file();
    let inode = file.inode();
    let handle = file.handle().ok_or(EIO)?;
    inode::node(inode)?;
    if io.is_append() {
        // The end of the file is where the server says.
        attributes::refresh_some(inode, Fields::SIZE)?;
    }
    if handle.is_direct() || io.is_direct() {
        return direct::write(io, handle, from);
    }
    let written = {
        let _lock = inode.lock()?;
        let allowed = io.check_write(from)?;
        if allowed == 0 {
            return Ok(0);
        }
        file.remove_privileges()?;
        attributes::zero_tail(inode, inode.size(), io.position());
        // Requests that say whose set-id bits end cannot wait.
        let told = set_ids::are_told(inode::connection(inode)) && file.has_setid();
        let written = if kept::keeps(inode) && !told {
            cached_write::write(&file, io.position(), from)?
        } else {
            uio::consume(from, |from| write_through(&io, inode, handle, from))?
        };
        io.set_position(io.position().saturating_add(written as u64));
        written
    };
    io.sync_written(written)
}

fn write_through(
    io: &Io<'_, Fuse>,
    inode: &Inode,
    handle: &Handle,
    from: &mut IovIterSource<'_>,
) -> Result<usize> {
    let connection = inode::connection(inode);
    let envelope = Envelope::by_caller(inode::node(inode)?).with(handle.open_there());
    let max = connection.wait_ready()?.max_write as usize;
    let mut total = 0usize;
    while !from.is_empty() {
        let position = io.position().saturating_add(total as u64);
        // If it takes several requests anyway, all but the first start with a page.
        let past = position as usize % PAGE_SIZE;
        let aligns = from.len() > max && max > past && max % PAGE_SIZE == 0;
        let part = if aligns { max - past } else { max };
        let data = inode.copy_for_cache(from, position, part);
        let data = match data.and_then(|data| Ok(Arc::new(data, GFP_KERNEL)?)) {
            Ok(data) => data,
            Err(error) if total == 0 => return Err(error),
            Err(_) => break,
        };
        let len = data.len();
        let op = Write {
            fh: handle.fh(),
            offset: position,
            size: u32::try_from(len).map_err(|_| EINVAL)?,
            write_flags: set_ids::write_flags(connection),
            flags: io.file().flags(),
            lock_owner: None,
        };
        let _through =
            in_flight::write_through(inode, position..position.saturating_add(len as u64))?;
        let drops = inode.data().drops();
        let written = match connection.call_with_data(&op, envelope, Payload::Own(data.clone())) {
            Ok(written) => written as usize,
            Err(error) => {
                // Nobody knows what of it the server has taken.
                attributes::invalidate(inode);
                let _ = stale::drop_range(inode, position, len as u64);
                if total == 0 {
                    return Err(error);
                }
                break;
            }
        };
        let end = position.saturating_add(written as u64);
        update_cache(inode, position, data, written, drops);
        // After the data: who sees the new size finds it.
        attributes::written(inode, end);
        total = total.saturating_add(written);
        if written < len {
            break;
        }
    }
    written_at_all(total)
}

/// The server has sent what it has at `position`.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn store(inode: &Inode, position: u64, data: &PageData) -> Result {
    let end = position.saturating_add(data.len() as u64);
    // What is on its way stays what it was.
    inode.data().in_flight.give_back(position..end)?;
    // It is newer than what is being written now.
    inode.data().count_drop();
    if stale::settle(inode, position, data.len() as u64).is_ok() {
        inode.update_cached(position, data, data.len());
    }
    attributes::written(inode, end);
    Ok(())
}

/// Brings the page cache up to what the server has, unless pages were dropped since there had been
/// `drops`: the server may have got newer data since.
fn update_cache(inode: &Inode, position: u64, data: Arc<PageData>, len: usize, drops: u64) {
    if stale::settle(inode, position, len as u64).is_err() {
        return;
    }
    match Arc::into_unique_or_drop(data) {
        Some(mut data) => inode.cache_written(position, core::mem::take(&mut *data), len),
        // The server answers while it still reads the request in another thread.
        None => inode.invalidate_range(position, len as u64),
    }
    if inode.data().drops() != drops {
        inode.invalidate_range(position, len as u64);
    }
}
