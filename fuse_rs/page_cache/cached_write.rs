// SPDX-License-Identifier: GPL-2.0

//! Writing into the page cache, from where it is written back later (WRITEBACK_CACHE).

use super::read;
use super::stale;
use crate::filesystem::inode;
use crate::filesystem::kept;
use crate::filesystem::Inode;
use crate::filesystem::OpenFile;
use crate::prelude::*;
use core::ops::Range;
use kernel_glue::mem::pages::PAGE_SIZE;
use kernel_glue::mm::cached_write::give_back;
use kernel_glue::mm::folio::LockedFolio;
use kernel_glue::mm::mapping::MAX_FOLIO_PAGES;
use kernel_glue::uio::fault_in;
use kernel_glue::vfs::caller::was_killed;

/// Writes `from` to `position`. The inode is locked.
pub(super) fn write(
    file: &OpenFile<'_>,
    position: u64,
    from: &mut IovIterSource<'_>,
) -> Result<usize> {
    let inode = file.inode();
    inode::connection(inode).wait_ready()?;
    if let Some(open) = file.handle().and_then(|handle| handle.open_there()) {
        inode.data().in_flight.add_writer(open);
    }
    file.update_times();
    let mut total = 0usize;
    while !from.is_empty() {
        let at = position.saturating_add(total as u64);
        match write_part(file, inode, at, from) {
            Ok(written) => total = total.saturating_add(written),
            Err(error) if total == 0 => return Err(error),
            Err(_) => break,
        }
        inode.pace_dirtying();
        if was_killed() {
            break;
        }
    }
    if total == 0 {
        Err(EINTR)
    } else {
        Ok(total)
    }
}

/// Writes as much as goes into one folio.
fn write_part(
    file: &OpenFile<'_>,
    inode: &Inode,
    at: u64,
    from: &mut IovIterSource<'_>,
) -> Result<usize> {
    let past = at as usize % PAGE_SIZE;
    let mut want = from.len().min(MAX_FOLIO_PAGES * PAGE_SIZE - past);
    let mut was_read = false;
    loop {
        let mut folio = lock_folio(inode, at, want)?;
        let offset = usize::try_from(at.saturating_sub(folio.position())).map_err(|_| EIO)?;
        let part = offset..offset.saturating_add(want).min(folio.size());
        if !folio.is_uptodate() && !prepare(inode, &mut folio, &part) {
            if was_read {
                return Err(EIO);
            }
            was_read = true;
            read::filled_folio(inode, Some(file), folio)?;
            continue;
        }
        let copied = folio.copy_present(part.start, part.len(), from);
        if copied == part.len() || (copied > 0 && folio.is_uptodate()) {
            folio.wrote(part.start..part.start.saturating_add(copied));
            // Who sees the new size finds the data.
            kept::grown(inode, at.saturating_add(copied as u64));
            return Ok(copied);
        }
        drop(folio);
        // The rest of the folio is not valid yet: all or nothing.
        give_back(from, copied);
        want = want.min(PAGE_SIZE - past);
        if fault_in(from, want) == 0 {
            return Err(EFAULT);
        }
    }
}

/// The folio for a write at `at`, locked, such that the pages may become dirty.
fn lock_folio(inode: &Inode, at: u64, want: usize) -> Result<LockedFolio> {
    let in_flight = &inode.data().in_flight;
    let range = at..at.saturating_add(want as u64);
    loop {
        in_flight.wait_to_dirty(range.clone())?;
        stale::settle(inode, at, want as u64)?;
        let folio = inode.folio_for_write(at, want)?;
        if in_flight.may_dirty(range.clone()) {
            return Ok(folio);
        }
    }
}

/// Makes what is around `part` of a folio that is not valid so, if it need not be read: because it
/// is all written, or lies behind the end of the file.
fn prepare(inode: &Inode, folio: &mut LockedFolio, part: &Range<usize>) -> bool {
    let there = inode.size().saturating_sub(folio.position());
    let there = usize::try_from(there).map_or(folio.size(), |there| there.min(folio.size()));
    let before = part.start.min(there);
    if before > 0 || part.end < there {
        return false;
    }
    folio.zero(0..part.start);
    folio.zero(part.end..folio.size());
    true
}
