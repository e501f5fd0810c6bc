// SPDX-License-Identifier: GPL-2.0

//! Writing dirty pages back.
//!
//! The server may never answer, and nobody but those who want the very data is to wait for it. So
//! dirty bytes are copied, after which mm has clean pages, and the copies go to the server. Unless
//! it takes the bytes so soon that mm can be let wait for that: see [`lender`](super::lender).

use super::copy::PageCopy;
use super::copy::Way;
use super::in_flight::send_queued;
use super::in_flight::stop_writes;
use crate::filesystem::inode;
use crate::filesystem::kept;
use crate::filesystem::Fuse;
use crate::filesystem::Inode;
use crate::prelude::*;
use core::ops::Range;
use fuse_pure::abi::ids::Opcode;
use fuse_pure::logic::dirty_pages::DirtyPages;
use kernel_glue::mem::pages::PageData;
use kernel_glue::mem::pages::PAGE_SIZE;
use kernel_glue::mm::writeback::DirtyFolio;
use kernel_glue::mm::writeback::WritebackControl;
use kernel_glue::mm::writeback::WritebackOperations;

/// Dirty folios in a row, and what of the file is dirty in them.
struct Batch<'a> {
    inode: &'a Inode,
    /// Most bytes of a WRITE.
    most: usize,
    /// Whether the folios may be lent instead of copied.
    may_lend: bool,
    folios: KVVec<DirtyFolio>,
    range: Range<u64>,
    /// A copy of that, if it is to be copied.
    data: PageData,
}

impl<'a> Batch<'a> {
    fn new(inode: &'a Inode, may_lend: bool) -> Result<Self> {
        let terms = inode::connection(inode).terms().ok_or(ENOTCONN)?;
        let max_pages = usize::from(terms.max_pages);
        // Whoever has closed the barrier may have to wait for pages being written back.
        let may_lend =
            may_lend && inode::mount(inode).lends() && !inode.data().in_flight.is_stopped();
        Ok(Self {
            inode,
            most: (terms.max_write as usize).min(max_pages.saturating_mul(PAGE_SIZE)),
            may_lend,
            folios: KVVec::new(),
            range: 0..0,
            data: PageData::default(),
        })
    }

    /// Takes a folio in; what was there before is sent if it does not fit to it.
    fn add(&mut self, mut folio: DirtyFolio) -> Result {
        let (start, whole) = (folio.position(), folio.size());
        let there = self.inode.size().saturating_sub(start);
        let len = usize::try_from(there).map_or(whole, |there| there.min(whole));
        if len < whole {
            // What was stored behind the end must not be there when the file grows.
            folio.zero_from(len);
        }
        let pages = u32::try_from(len.div_ceil(PAGE_SIZE)).unwrap_or(u32::MAX);
        let dirty = DirtyPages::from_bits(folio.dirty_bits()).of_folio(pages);
        let runs = |mut pages: DirtyPages| core::iter::from_fn(move || pages.next_run());
        let in_file = |run: &Range<u32>| {
            let at = |page: u32| (page as usize).saturating_mul(PAGE_SIZE);
            at(run.start)..at(run.end).min(len)
        };
        let in_flight = &self.inode.data().in_flight;
        if !in_flight.is_idle()
            && runs(dirty).any(|run| in_flight.has(shifted(in_file(&run), start)))
        {
            // Dirty again without a store that would have waited: memory that was pinned. There is
            // one copy of a page at a time, so this has to wait, and stays dirty.
            return Ok(());
        }
        self.folios.reserve(1, GFP_KERNEL)?;
        // The writeback of a folio ends as a whole, so it is lent to one WRITE only.
        let lent = dirty
            .only_run()
            .map(|run| in_file(&run))
            .filter(|part| part.len() <= self.most);
        if let Some(part) = lent {
            self.make_room(&folio, &part, false)?;
        } else if dirty == DirtyPages::NONE {
            folio.written();
            return Ok(());
        } else {
            for run in runs(dirty) {
                self.copy(&folio, in_file(&run))?;
            }
        }
        // There is room.
        let _ = self.folios.push_within_capacity(folio);
        Ok(())
    }

    /// Adds `part` of a folio to the range, which is sent before if that does not fit. Those that
    /// are copied and those that are not are kept apart.
    fn make_room(&mut self, folio: &DirtyFolio, part: &Range<usize>, copied: bool) -> Result {
        let range = shifted(part.clone(), folio.position());
        let len = range.end.saturating_sub(self.range.start);
        let fits = usize::try_from(len).is_ok_and(|len| len <= self.most);
        if range.start != self.range.end || !fits || self.data.is_empty() == copied {
            self.send()?;
            self.range.start = range.start;
        }
        self.range.end = range.end;
        Ok(())
    }

    /// Copies a part of a folio, which is unlocked by who sends the last part of it.
    fn copy(&mut self, folio: &DirtyFolio, part: Range<usize>) -> Result {
        self.make_room(folio, &part, true)?;
        let before = self.data.len();
        let copied = folio.copy_to(part.start, part.len(), &mut self.data);
        if copied.is_err() {
            self.data.truncate(before);
            self.range.end = self.range.end.saturating_sub(part.len() as u64);
        }
        copied
    }

    /// Queues what is there. If it fails, the folios stay dirty.
    fn send(&mut self) -> Result {
        let data = core::mem::take(&mut self.data);
        let range = core::mem::take(&mut self.range);
        if range.is_empty() {
            return Ok(());
        }
        let open = self.inode.data().in_flight.writer();
        if open.is_none() && !inode::connection(self.inode).lacks(Opcode::Open) {
            warn_ratelimited!("dirty pages of a file that nobody has open for writing\n");
            self.inode.set_write_error(EIO);
            self.folios.drain_all().for_each(DirtyFolio::written);
            return Err(EIO);
        }
        let way = match (data.is_empty(), self.may_lend) {
            (true, true) => Way::Lend,
            (true, false) => Way::Copy,
            (false, _) => Way::Copied(data),
        };
        let queued = PageCopy::queue(self.inode, range, &mut self.folios, way, open);
        if queued.is_err() {
            self.folios.clear();
            return queued;
        }
        self.folios.drain_all().for_each(DirtyFolio::written);
        send_queued(self.inode);
        Ok(())
    }
}

fn shifted(part: Range<usize>, by: u64) -> Range<u64> {
    let at = |offset: usize| by.saturating_add(offset as u64);
    at(part.start)..at(part.end)
}

impl WritebackOperations for Fuse {
    fn write_back(inode: &Inode, control: &mut WritebackControl<'_>) -> Result {
        inode::node(inode)?;
        if !control.is_for_integrity() && inode::connection(inode).is_congested() {
            // What is dirty counts against the limit for dirty pages, copies do not.
            return Ok(());
        }
        let mut batch = Batch::new(inode, true)?;
        let added = inode.for_each_dirty(control, |folio| batch.add(folio));
        batch.send().and(added)
    }

    fn launder(inode: &Inode, folio: DirtyFolio) -> Result {
        // Whoever drops the folio does not wait until it is no longer being written back.
        let mut batch = Batch::new(inode, false)?;
        batch.add(folio)?;
        batch.send()
    }
}

/// Writes the dirty pages of a range back, and waits until the server has them.
///
/// # Errors
///
/// `EINTR` when the caller is killed, and those of writing back. What the server says of it is for
/// fsync(2).
pub(crate) fn write_range(inode: &Inode, range: Range<u64>) -> Result {
    if inode.is_in_memory() {
        return Ok(());
    }
    let range = if kept::keeps(inode) {
        // Only with all that lies behind does the range exist at the server.
        range.start..u64::MAX
    } else {
        range
    };
    if inode.has_dirty_pages() {
        inode.write_dirty_pages(range.start, range.end)?;
    }
    inode.data().in_flight.wait(range)
}

/// How often it is looked for pages that were dirty again while an older copy was on its way.
const PASSES: u32 = 3;

/// Writes all dirty pages back, and times that the kernel keeps, and waits until the server has all
/// that was on its way. The inode is not locked.
///
/// # Errors
///
/// As for [`write_range`].
pub(crate) fn write_all(inode: &Inode) -> Result {
    write_all_with(inode, || {
        let _lock = inode.lock()?;
        stop_writes(inode).map(drop)
    })
}

/// As [`write_all`], for callers that have locked the inode.
pub(crate) fn write_all_locked(inode: &Inode) -> Result {
    write_all_with(inode, || stop_writes(inode).map(drop))
}

fn write_all_with(inode: &Inode, drain: impl Fn() -> Result) -> Result {
    if inode.is_in_memory() {
        // What is stored there is with the server.
        return Ok(());
    }
    let drain = || {
        // What is only queued would not be waited for.
        send_queued(inode);
        drain()
    };
    for _ in 0..PASSES {
        if inode.has_dirty_pages() {
            inode.write_dirty_pages(0, u64::MAX)?;
        } else if inode.data().in_flight.is_idle() {
            break;
        }
        drain()?;
    }
    if kept::keeps(inode) {
        // After the data: to write that changes the server's times.
        inode.write_dirty_times()?;
        drain()?;
    }
    Ok(())
}

/// Writes all dirty pages and times back, without waiting for the server.
pub(crate) fn start(inode: &Inode) {
    if inode.is_in_memory() {
        return;
    }
    if inode.has_dirty_pages() {
        // Errors are those of the mapping, of which nobody is left to hear.
        let _ = inode.write_dirty_pages(0, u64::MAX);
    }
    if kept::keeps(inode) {
        let _ = inode.write_dirty_times();
    }
}
