// SPDX-License-Identifier: GPL-2.0

//! Reading.
//!
//! Reads into the page cache are never waited for by who starts them: the request owns the
//! locked folios, and whoever wants the data waits for their locks, which a kill ends. So a
//! server that does not answer holds up only those who want that very data.

use super::direct;
use super::over::Over;
use super::stale;
use crate::connection::call::Envelope;
use crate::connection::post::Post;
use crate::connection::post::Urgency;
use crate::connection::reply::Reply;
use crate::connection::reply::ReplyBuffer;
use crate::connection::request::Completion;
use crate::connection::Connection;
use crate::filesystem::attributes;
use crate::filesystem::handle::Handle;
use crate::filesystem::inode;
use crate::filesystem::late::KeptInode;
use crate::filesystem::Fuse;
use crate::filesystem::Inode;
use crate::filesystem::OpenFile;
use crate::prelude::*;
use core::ops::Range;
use fuse_pure::abi::ids::FileHandle;
use fuse_pure::abi::init::InitFlags;
use fuse_pure::logic::attr_version::AttrVersion;
use fuse_pure::logic::freshness::Fields;
use fuse_pure::op::rw::Read;
use kernel_glue::mem::pages::PAGE_SIZE;
use kernel_glue::mm::folio::FolioRun;
use kernel_glue::mm::folio::LockedFolio;
use kernel_glue::mm::readahead::Readahead;
use kernel_glue::vfs::io::Io;
use kernel_glue::vfs::page_ops::ReadStart;

/// Ends a read into the page cache.
///
/// It keeps the inode, so that an inode whose folios wait for the server is not evicted:
/// whoever needs memory would wait, too.
struct Filled {
    inode: KeptInode,
    /// Version of the attributes when the request was made.
    version: AttrVersion,
    /// Told when it is over, also when the request is dropped.
    over: Option<Arc<Over>>,
}

impl Drop for Filled {
    fn drop(&mut self) {
        self.inode.data().remove_read();
        if let Some(over) = self.over.take() {
            over.set();
        }
    }
}

impl Completion for Filled {
    fn complete(&mut self, _: &Arc<Connection>, answer: Result<Reply>) {
        // Folios of a run that has not been filled end with an error.
        let (run, len) = match answer {
            Ok(Reply {
                buffer: ReplyBuffer::Folios(run),
                len,
            }) => (run, len),
            Ok(_) => return,
            Err(error) => {
                if let Some(over) = &self.over {
                    over.fail(error);
                }
                return;
            }
        };
        attributes::accessed(&self.inode);
        if len < run.len() {
            // The file ends there, as far as the server knows; behind it the run is zeroed.
            let end = run.start().saturating_add(len as u64);
            attributes::shorter(&self.inode, end, self.version);
        }
        run.end();
    }
}

/// Sends a READ that fills `run`.
///
/// A server that does not take part in ASYNC_READ gets one at a time: the caller waits, unless it
/// is killed.
fn fill(inode: &Inode, file: Option<&OpenFile<'_>>, run: FolioRun, urgency: Urgency) -> Result {
    if inode::connection(inode).has(InitFlags::ASYNC_READ) {
        return send_read(inode, file, run, urgency, None);
    }
    let over = Over::new()?;
    send_read(inode, file, run, Urgency::Foreground, Some(over.clone()))?;
    over.wait()
}

fn send_read(
    inode: &Inode,
    file: Option<&OpenFile<'_>>,
    run: FolioRun,
    urgency: Urgency,
    over: Option<Arc<Over>>,
) -> Result {
    let node = inode::node(inode)?;
    let handle = file.and_then(|file| file.handle());
    let connection = inode::connection(inode);
    let op = Read {
        fh: handle.map_or(FileHandle(0), |handle| handle.fh()),
        offset: run.start(),
        size: u32::try_from(run.len()).map_err(|_| EINVAL)?,
        flags: file.map_or(0, |file| file.flags()),
        lock_owner: None,
    };
    inode.data().add_read();
    let filled = Filled {
        inode: inode.into(),
        version: connection.attr_version(),
        over,
    };
    let done = KBox::new(filled, GFP_KERNEL)?;
    connection.post(
        &op,
        // What is cached is for all who have the file open.
        Envelope::by_any_caller(node).with(handle.and_then(Handle::open_there)),
        Post::new(urgency, done).into_buffer(ReplyBuffer::Folios(run)),
    )
}

fn range_of(folio: &LockedFolio) -> Range<u64> {
    let start = folio.position();
    start..start.saturating_add(folio.size() as u64)
}

/// Fills one folio.
pub(crate) fn read_folio(
    inode: &Inode,
    file: Option<&OpenFile<'_>>,
    folio: LockedFolio,
) -> Result<ReadStart> {
    inode::connection(inode).wait_ready()?;
    let in_flight = &inode.data().in_flight;
    let range = range_of(&folio);
    if in_flight.has(range.clone()) {
        // The server does not have it yet.
        drop(folio);
        in_flight.wait(range)?;
        return Ok(ReadStart::Again);
    }
    fill_folio(inode, file, folio)?;
    Ok(ReadStart::Started)
}

/// Starts filling a folio, which is unlocked at the end of that.
fn fill_folio(inode: &Inode, file: Option<&OpenFile<'_>>, folio: LockedFolio) -> Result {
    fill(inode, file, run_of(folio)?, Urgency::Foreground)
}

/// As [`fill_folio`], and waits for it.
///
/// # Errors
///
/// `EINTR` when the caller is killed, and the server's.
pub(super) fn filled_folio(
    inode: &Inode,
    file: Option<&OpenFile<'_>>,
    folio: LockedFolio,
) -> Result {
    let over = Over::new()?;
    let run = run_of(folio)?;
    send_read(inode, file, run, Urgency::Foreground, Some(over.clone()))?;
    over.wait()?;
    over.outcome()
}

fn run_of(folio: LockedFolio) -> Result<FolioRun> {
    let mut run = FolioRun::with_capacity(1)?;
    run.push(folio).map_err(|_| EIO)?;
    Ok(run)
}

/// Reads ahead, in requests as large as the server takes.
pub(crate) fn readahead(inode: &Inode, file: Option<&OpenFile<'_>>, mut folios: Readahead<'_>) {
    let Ok(terms) = inode::connection(inode).wait_ready() else {
        return;
    };
    let max = terms.max_read as usize;
    let max_pages = usize::from(terms.max_pages).min(max / PAGE_SIZE).max(1);
    let mut left: Option<LockedFolio> = None;
    let mut in_the_way = false;
    loop {
        if left.is_none() && folios.is_speculative() && inode::connection(inode).is_congested() {
            return;
        }
        let pages = folios.remaining().div_ceil(PAGE_SIZE).saturating_add(1);
        let Ok(mut run) = FolioRun::with_capacity(pages.min(max_pages)) else {
            return;
        };
        while let Some(folio) = left.take().or_else(|| folios.next()) {
            if inode.data().in_flight.has(range_of(&folio)) {
                // Whoever wants it waits; what comes behind it can wait, too.
                in_the_way = true;
                break;
            }
            if !run.is_empty() && run.len().saturating_add(folio.size()) > max {
                left = Some(folio);
                break;
            }
            if let Err(folio) = run.push(folio) {
                left = Some(folio);
                break;
            }
        }
        if run.is_empty() || fill(inode, file, run, Urgency::Background).is_err() || in_the_way {
            return;
        }
    }
}

/// Makes sure that what is cached up to `end` may be believed, and the size.
pub(super) fn believe(inode: &Inode, end: u64) -> Result {
    inode::node(inode)?;
    stale::catch_up(inode)?;
    if end > inode.size() || inode::connection(inode).has(InitFlags::AUTO_INVAL_DATA) {
        let wanted = Fields::SIZE.with(Fields::MTIME);
        if !attributes::are_fresh(inode, wanted) {
            attributes::fetch(inode, None)?;
        }
    }
    Ok(())
}

/// Reads for read(2) and its like.
pub(crate) fn read(mut io: Io<'_, Fuse>, to: &mut IovIterDest<'_>) -> Result<usize> {
    let file = io.file();
    let inode = file.inode();
    let handle = file.handle().ok_or(EIO)?;
    if handle.is_direct() || io.is_direct() {
        inode::node(inode)?;
        return direct::read(io, handle, to);
    }
    believe(inode, io.position().saturating_add(to.len() as u64))?;
    io.read_cached(to)
}
