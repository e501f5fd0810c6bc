// SPDX-License-Identifier: GPL-2.0

//! The cached listing of a directory, in the directory's page cache.
//!
//! Who lists a directory from its start may fill the listing, one at a time. It is used when it is
//! complete, and believed while the directory's time of modification is the same and no change has
//! been heard of: that is looked at when a listing starts.

use super::attributes;
use super::handle::Handle;
use super::inode;
use super::Inode;
use super::OpenFile;
use crate::prelude::*;
use fuse_pure::abi::flags::OpenFlags;
use fuse_pure::abi::init::InitFlags;
use fuse_pure::logic::dirents::Entry;
use fuse_pure::logic::freshness::Fields;
use fuse_pure::logic::listing::put;
use fuse_pure::logic::listing::Fill;
use fuse_pure::logic::listing::Span;
use fuse_pure::logic::listing::Stamp;
use fuse_pure::logic::listing::Start;
use fuse_pure::logic::listing::Tail;
use fuse_pure::logic::listing::Walk;
use fuse_pure::op::entry::Time;
use kernel_glue::mem::pages::PAGE_SIZE;
use kernel_glue::vfs::file::DirEmitter;

const PAGE: u64 = PAGE_SIZE as u64;

/// How far an open directory has got.
pub(crate) struct Reader {
    /// What it fills; zero for nothing.
    fills: Atomic<u64>,
    /// Offset of the last entry that came from the cache.
    last: Atomic<u64>,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            fills: Atomic::new(0),
            last: Atomic::new(0),
        }
    }

    fn fill(&self) -> Option<Fill> {
        match self.fills.load(Relaxed) {
            0 => None,
            start => Some(Fill(start)),
        }
    }

    fn set_fill(&self, fill: Option<Fill>) {
        self.fills.store(fill.map_or(0, |fill| fill.0), Relaxed);
    }
}

/// Gives the pages before an offset back.
fn give_back(dir: &Inode, before: Option<u64>) {
    if let Some(before) = before {
        dir.drop_directory_pages(before / PAGE);
    }
}

/// Forgets the listing of a directory.
pub(crate) fn forget(dir: &Inode) {
    let before = dir.data().listing.lock().clear();
    give_back(dir, Some(before));
}

/// A directory has been opened.
pub(crate) fn opened(dir: &Inode, open: OpenFlags) {
    if !open.contains(OpenFlags::KEEP_CACHE) {
        forget(dir);
    }
}

/// An open directory is closed.
pub(crate) fn closed(dir: &Inode, handle: &Handle) {
    give_up(dir, handle);
}

/// Ends the filling of a listing, if this open directory fills one.
fn give_up(dir: &Inode, handle: &Handle) {
    if let Some(fill) = handle.reader.fill() {
        handle.reader.set_fill(None);
        let before = dir.data().listing.lock().abandon(fill);
        give_back(dir, before);
    }
}

fn stamp(dir: &Inode) -> Stamp {
    // Neither ever gets less, so they change if and only if the sum does.
    let epoch = inode::connection(dir).epoch().0;
    let changes = dir.data().changes().wrapping_add(epoch);
    let mtime = dir.mtime();
    Stamp {
        mtime: Time {
            sec: mtime.sec,
            nsec: mtime.nsec,
        },
        changes,
    }
}

/// Looks whether the listing may be used, and if not, whether this open directory fills it.
fn start(dir: &Inode, handle: &Handle) -> Result {
    if inode::connection(dir).has(InitFlags::AUTO_INVAL_DATA) {
        attributes::refresh_some(dir, Fields::MTIME)?;
    }
    let now = stamp(dir);
    let (before, fill) = {
        let mut listing = dir.data().listing.lock();
        match listing.begin(now, handle.reader.fill()) {
            Start::Fill(fill) => (Some(fill.0), Some(fill)),
            Start::Cached | Start::Uncached => (None, None),
        }
    };
    handle.reader.set_fill(fill);
    give_back(dir, before);
    Ok(())
}

/// Passes entries on from the emitter's position, if they are cached: `false` if the server has to
/// be asked.
pub(crate) fn serve(
    file: &OpenFile<'_>,
    handle: &Handle,
    out: &mut DirEmitter<'_>,
) -> Result<bool> {
    if !handle.open.contains(OpenFlags::CACHE_DIR) {
        return Ok(false);
    }
    let dir = file.inode();
    let position = out.position();
    if position == 0 {
        start(dir, handle)?;
    }
    let whole = dir.data().listing.lock().whole();
    let Some(span) = whole else {
        return Ok(false);
    };
    if let Some(listed) = walk(dir, handle, span, out)? {
        return Ok(listed);
    }
    // Somebody needed memory.
    let before = dir.data().listing.lock().lose(span.start);
    give_back(dir, before);
    if out.position() == 0 {
        start(dir, handle)?;
    }
    Ok(out.position() != position)
}

/// Passes entries of a whole listing on; says whether that is all there is to do. None if a page
/// is missing.
fn walk(
    dir: &Inode,
    handle: &Handle,
    span: Span,
    out: &mut DirEmitter<'_>,
) -> Result<Option<bool>> {
    let last = &handle.reader.last;
    let mut walk = Walk::new(span, last.load(Relaxed), out.position());
    while let Some(at) = walk.at() {
        let page = dir.directory_page(at / PAGE)?;
        let Some(page) = page.filter(|page| page.is_valid()) else {
            return Ok(None);
        };
        let has_room = walk.list_page(page.bytes(), |entry| {
            out.emit(entry.name, entry.ino, entry.kind, entry.next)
        });
        last.store(walk.hint(), Relaxed);
        if !has_room {
            return Ok(Some(true));
        }
    }
    Ok(Some(walk.is_at_the_end()))
}

/// The server has listed these entries from `position` on, after which the directory goes on; none
/// if it ends there.
pub(crate) fn add<'a>(
    dir: &Inode,
    handle: &Handle,
    position: u64,
    entries: impl Iterator<Item = Entry<'a>>,
) {
    let Some(fill) = handle.reader.fill() else {
        return;
    };
    let tail = dir.data().listing.lock().tail(fill);
    let filled = match tail {
        // The reader has been elsewhere in between.
        Some(tail) if tail.position != position => None,
        Some(tail) => fill_pages(dir, fill, tail, entries),
        None => None,
    };
    if filled.is_none() {
        give_up(dir, handle);
    }
}

/// Nothing comes behind `position`.
pub(crate) fn finish(dir: &Inode, handle: &Handle, position: u64) {
    if let Some(fill) = handle.reader.fill() {
        dir.data().listing.lock().finish(fill, position);
    }
}

/// Adds entries to the listing; none if that did not work out.
fn fill_pages<'a>(
    dir: &Inode,
    fill: Fill,
    mut tail: Tail,
    entries: impl Iterator<Item = Entry<'a>>,
) -> Option<()> {
    let mut entries = entries.peekable();
    while entries.peek().is_some() {
        let start = (tail.at % PAGE) as usize;
        let mut page = dir.make_directory_page(tail.at / PAGE).ok()?;
        if start == 0 {
            page.clear();
        } else if !page.is_valid() {
            // The page with the entries before these is gone.
            return None;
        }
        let (mut offset, mut position) = (start, tail.position);
        while let Some(entry) = entries.peek() {
            let Ok(end) = put(page.bytes_mut(), offset, entry) else {
                break;
            };
            (offset, position) = (end, entry.next);
            let _ = entries.next();
        }
        if start == 0 {
            if offset == 0 {
                // The entry does not fit any page.
                return None;
            }
            page.mark_valid();
        }
        if entries.peek().is_some() {
            offset = PAGE_SIZE;
        }
        let to = Tail {
            at: tail.at.saturating_add((offset - start) as u64),
            position,
        };
        if !dir.data().listing.lock().extend(fill, tail, to) {
            return None;
        }
        tail = to;
    }
    Some(())
}
