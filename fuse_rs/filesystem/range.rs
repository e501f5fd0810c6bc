// SPDX-License-Identifier: GPL-2.0

//! Operations on ranges of files that move no data through the kernel.

use super::attributes;
use super::inode;
use super::set_ids;
use super::Inode;
use super::OpenFile;
use crate::connection::call::Envelope;
use crate::dax;
use crate::page_cache::in_flight;
use crate::page_cache::stale;
use crate::page_cache::writeback;
use crate::prelude::*;
use core::num::NonZeroU64;
use core::ops::Range;
use fuse_pure::abi::ids::Opcode;
use fuse_pure::logic::freshness::Fields;
use fuse_pure::op::range::Allocation;
use fuse_pure::op::range::Bmap;
use fuse_pure::op::range::Copy;
use fuse_pure::op::range::CopyFileRange;
use fuse_pure::op::range::CopyFileRange64;
use fuse_pure::op::range::Extent;
use fuse_pure::op::range::Fallocate;
use fuse_pure::op::range::Lseek;
use kernel_glue::vfs::file_ops::SeekFor;

/// A server without such requests does not support the operation.
fn unsupported(error: Error) -> Error {
    if error == ENOSYS {
        EOPNOTSUPP
    } else {
        error
    }
}

/// Reserves or releases space.
pub(crate) fn allocate(file: &OpenFile<'_>, mode: u32, range: Range<u64>) -> Result {
    let what = Allocation::from_mode(mode).ok_or(EOPNOTSUPP)?;
    let inode = file.inode();
    let connection = inode::connection(inode);
    if connection.lacks(Opcode::Fallocate) {
        return Err(EOPNOTSUPP);
    }
    let handle = file.handle().ok_or(EIO)?;
    let envelope = Envelope::by_caller(inode::node(inode)?).with(handle.open_there());
    let length = range.end.saturating_sub(range.start);
    let op = Fallocate {
        fh: handle.fh(),
        offset: range.start,
        length,
        mode,
    };
    let _lock = inode.lock()?;
    let old_size = inode.size();
    let grows = what.grows && range.end > old_size;
    if grows {
        inode.check_new_size(range.end)?;
    }
    set_ids::drop_here(file)?;
    writeback::write_range(inode, range.clone())?;
    let _stopped = in_flight::stop_writes(inode)?;
    let _faults = if what.zeroes || grows {
        dax::stop_faults(inode)?
    } else {
        None
    };
    let answer = connection.call(&op, envelope);
    if !matches!(answer, Ok(()) | Err(EINTR)) {
        return answer.map_err(unsupported);
    }
    // If the caller is killed, nobody knows what the server has done.
    attributes::invalidate_some(inode, Fields::DATA);
    let from = match (what.zeroes, grows) {
        (true, true) => range.start.min(old_size),
        (true, false) => range.start,
        (false, true) => old_size,
        (false, false) => range.end,
    };
    stale::drop_range(inode, from, range.end.saturating_sub(from))?;
    answer?;
    // After the pages: who sees the new size finds zeroes.
    attributes::written(inode, if grows { range.end } else { 0 });
    Ok(())
}

/// Lets the server copy within itself.
pub(crate) fn copy(
    (from, from_offset): (&OpenFile<'_>, u64),
    (to, to_offset): (&OpenFile<'_>, u64),
    len: usize,
) -> Result<usize> {
    let (source, dest) = (from.inode(), to.inode());
    let connection = inode::connection(source);
    if !Arc::ptr_eq(connection, inode::connection(dest)) {
        return Err(EXDEV);
    }
    if connection.lacks(Opcode::CopyFileRange) {
        return Err(EOPNOTSUPP);
    }
    let from_handle = from.handle().ok_or(EIO)?;
    let to_handle = to.handle().ok_or(EIO)?;
    let to_node = inode::node(dest)?;
    let envelope = Envelope::by_caller(inode::node(source)?)
        .with(from_handle.open_there())
        .and(to_node)
        .and_with(to_handle.open_there());
    let copy = Copy {
        from: from_handle.fh(),
        from_offset,
        to_node: to_node.id(),
        to: to_handle.fh(),
        to_offset,
        len: len as u64,
    };
    let end = |start: u64| start.saturating_add(len as u64);
    writeback::write_range(source, from_offset..end(from_offset))?;
    let _lock = dest.lock()?;
    set_ids::drop_here(to)?;
    writeback::write_range(dest, to_offset..end(to_offset))?;
    let answer = match connection.call(&CopyFileRange64(copy), envelope) {
        Err(ENOSYS) => connection.call(&CopyFileRange(copy), envelope),
        other => other,
    };
    let touched = match answer {
        Ok(copied) => copied,
        Err(ENOSYS | EOPNOTSUPP) => return Err(EOPNOTSUPP),
        Err(EXDEV) => return Err(EXDEV),
        // If it fails half-way, nobody knows how much of the copy is there.
        Err(_) => copy.len,
    };
    attributes::invalidate_some(dest, Fields::DATA);
    let dropped = stale::drop_range(dest, to_offset, touched);
    let copied = answer?;
    // If the caller is killed, the copy is there all the same.
    attributes::written(
        dest,
        if copied > 0 {
            to_offset.saturating_add(copied)
        } else {
            0
        },
    );
    dropped?;
    usize::try_from(copied).map_err(|_| EIO)
}

/// Where a block of a file lies on the mount's device; zero if nowhere that is known.
pub(crate) fn device_block(inode: &Inode, block: u64) -> u64 {
    let Some((block_size, device_blocks)) = inode.super_block().device_blocks() else {
        return 0;
    };
    let op = Bmap {
        block,
        block_size,
        device_blocks,
    };
    let asked = inode::node(inode)
        .and_then(|node| inode::connection(inode).call(&op, Envelope::by_caller(node)));
    asked.ok().flatten().map_or(0, NonZeroU64::get)
}

/// Looks for data or a hole from `offset` on.
pub(crate) fn seek_for(file: &OpenFile<'_>, offset: u64, what: SeekFor) -> Result<u64> {
    let inode = file.inode();
    let handle = file.handle().ok_or(EIO)?;
    let envelope = Envelope::by_caller(inode::node(inode)?).with(handle.open_there());
    // What is not written yet looks like a hole to the server.
    writeback::write_range(inode, offset..u64::MAX)?;
    let op = Lseek {
        fh: handle.fh(),
        offset,
        extent: match what {
            SeekFor::Data => Extent::Data,
            SeekFor::Hole => Extent::Hole,
        },
    };
    inode::connection(inode)
        .call(&op, envelope)
        .map_err(unsupported)
}
