// SPDX-License-Identifier: GPL-2.0

//! Dropping cached pages that may be stale.
//!
//! A folio that is being read is locked until the server answers, and the kernel's functions
//! wait for that, whatever signals come. So these functions first wait for such folios in a way
//! that a kill ends. What is then left undone is remembered, and done by the next who opens,
//! reads or maps the file.
//!
//! Drops are counted before they are done. Who puts data into the cache that the server was told
//! or has told earlier compares the number afterwards, so that it does not stay there.

use crate::dax;
use crate::filesystem::Inode;
use crate::prelude::*;

/// Whether READs into the page cache are with the server.
fn reads(inode: &Inode) -> bool {
    inode.data().reads() > 0
}

/// Waits until the folios of a range are not being read.
///
/// # Errors
///
/// `EINTR` when the caller is killed.
fn wait(inode: &Inode, start: u64, end: u64) -> Result {
    if reads(inode) && inode.wait_for_folios(start, end).is_err() {
        inode.data().set_undone();
        return Err(EINTR);
    }
    Ok(())
}

/// Drops all cached pages.
///
/// # Errors
///
/// `EINTR` when the caller is killed.
pub(crate) fn drop_all(inode: &Inode) -> Result {
    if inode.is_in_memory() {
        return Ok(());
    }
    inode.data().count_drop();
    wait(inode, 0, u64::MAX)?;
    inode.invalidate_pages();
    Ok(())
}

/// Drops the cached pages of `len` bytes from `start`.
///
/// # Errors
///
/// `EINTR` when the caller is killed.
pub(crate) fn drop_range(inode: &Inode, start: u64, len: u64) -> Result {
    if inode.is_in_memory() {
        return Ok(());
    }
    inode.data().count_drop();
    wait(inode, start, start.saturating_add(len))?;
    inode.invalidate_range(start, len);
    Ok(())
}

/// Drops the cached pages behind the new end of the file.
///
/// # Errors
///
/// `EINTR` when the caller is killed.
pub(crate) fn drop_behind(inode: &Inode, size: u64) -> Result {
    if inode.is_in_memory() {
        return dax::cut_behind(inode, size);
    }
    inode.data().count_drop();
    wait(inode, size, u64::MAX)?;
    inode.truncate_pages(size);
    Ok(())
}

/// Waits until the folios of `len` bytes from `start` can be changed.
///
/// # Errors
///
/// `EINTR` when the caller is killed.
pub(crate) fn settle(inode: &Inode, start: u64, len: u64) -> Result {
    wait(inode, start, start.saturating_add(len))
}

/// Does what somebody who was killed has left undone.
///
/// # Errors
///
/// `EINTR` when the caller is killed.
pub(crate) fn catch_up(inode: &Inode) -> Result {
    if inode.data().take_undone() {
        drop_all(inode)?;
    }
    Ok(())
}
