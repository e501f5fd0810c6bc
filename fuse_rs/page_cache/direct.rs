// SPDX-License-Identifier: GPL-2.0

//! Reading and writing past the page cache: the server gets the caller's memory.
//!
//! Memory that is pinned may be left to the requests by a caller that is killed. Other memory, the
//! kernel's own, is lent only to reads and writes that are not waited for; else it is copied.

use super::over::Over;
use super::stale;
use super::transfer::End;
use super::transfer::Transfer;
use super::transfer::Whole;
use super::writeback;
use crate::connection::call::Envelope;
use crate::connection::payload::Payload;
use crate::connection::reply::ReplyBuffer;
use crate::connection::Connection;
use crate::filesystem::attributes;
use crate::filesystem::handle::Handle;
use crate::filesystem::inode;
use crate::filesystem::set_ids;
use crate::filesystem::Fuse;
use crate::filesystem::Inode;
use crate::filesystem::OpenFile;
use crate::prelude::*;
use core::ops::Range;
use fuse_pure::abi::flags::OpenFlags;
use fuse_pure::abi::init::InitFlags;
use fuse_pure::op::rw::Read;
use fuse_pure::op::rw::Write;
use kernel_glue::mem::pages::PageData;
use kernel_glue::mem::user_pages::UserPages;
use kernel_glue::uio;
use kernel_glue::uio::Iter;
use kernel_glue::vfs::caller;
use kernel_glue::vfs::inode::InodeGuard;
use kernel_glue::vfs::inode::SharedInodeGuard;
use kernel_glue::vfs::io::AsyncIo;
use kernel_glue::vfs::io::Io;

/// What a read or write is about.
struct Direct<'a> {
    inode: &'a Inode,
    connection: &'a Arc<Connection>,
    handle: &'a Handle,
    envelope: Envelope<'a>,
    /// Most bytes of a request.
    max: usize,
    /// Most pages of a request.
    max_pages: usize,
    flags: u32,
    position: u64,
}

impl<'a> Direct<'a> {
    fn new(file: &OpenFile<'a>, handle: &'a Handle, position: u64, write: bool) -> Result<Self> {
        let inode = file.inode();
        let connection = inode::connection(inode);
        let terms = connection.wait_ready()?;
        Ok(Self {
            inode,
            connection,
            handle,
            envelope: Envelope::by_caller(inode::node(inode)?).with(handle.open_there()),
            max: if write {
                terms.max_write
            } else {
                terms.max_read
            } as usize,
            max_pages: usize::from(terms.max_pages),
            flags: file.flags(),
            position,
        })
    }

    /// Whether the server takes several requests of a read or write at a time.
    fn is_async(&self) -> bool {
        self.connection.has(InitFlags::ASYNC_DIO)
    }

    fn range(&self, len: usize) -> Range<u64> {
        self.position..self.position.saturating_add(len as u64)
    }

    /// Whether the file is known to have `len` bytes here.
    fn is_inside(&self, len: usize) -> bool {
        self.position.saturating_add(len as u64) <= self.inode.size()
    }

    fn read_op(&self) -> Read {
        Read {
            fh: self.handle.fh(),
            offset: self.position,
            size: 0,
            flags: self.flags,
            lock_owner: self.lock_owner(),
        }
    }

    fn write_op(&self) -> Write {
        Write {
            fh: self.handle.fh(),
            offset: self.position,
            size: 0,
            write_flags: set_ids::direct_write_flags(),
            flags: self.flags,
            lock_owner: self.lock_owner(),
        }
    }

    fn lock_owner(&self) -> Option<u64> {
        Some(self.connection.lock_owner(caller::files()))
    }

    /// Takes the caller's memory for a request, up to `len` bytes.
    fn take(
        &self,
        iter: &mut impl Iter,
        len: usize,
        io: Option<&AsyncIo>,
    ) -> Result<Option<UserPages>> {
        UserPages::of(iter, len.min(self.max), self.max_pages, io)
    }
}

/// Does what `iter` stands for part by part: `part` is told how much is done, and returns how much
/// it has done and whether it goes on. An error behind what is done does not count.
fn in_turn<I: Iter>(
    iter: &mut I,
    mut part: impl FnMut(&mut I, usize) -> Result<(usize, bool)>,
) -> Result<usize> {
    let mut total = 0usize;
    while iter.left() > 0 {
        match part(iter, total) {
            Ok((done, goes_on)) => {
                total = total.saturating_add(done);
                if !goes_on {
                    break;
                }
            }
            Err(_) if total > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

/// Reads past the page cache.
pub(super) fn read(
    mut io: Io<'_, Fuse>,
    handle: &Handle,
    to: &mut IovIterDest<'_>,
) -> Result<usize> {
    let file = io.file();
    let direct = Direct::new(&file, handle, io.position(), false)?;
    let len = direct.read_len(to.len())?;
    if len == 0 {
        return Ok(0);
    }
    writeback::write_range(direct.inode, direct.range(len))?;
    // A file that is always direct may be a stream, for which to ask behind its end is to lose
    // data.
    let seekable = !handle.is_direct() || (!io.is_sync() && direct.is_inside(len));
    if direct.is_async() && !io.is_sync() && (seekable || len <= direct.max) {
        let io = io.detach()?;
        let next = |left: usize| direct.take(to, left, Some(&io));
        let whole = Whole::Read(direct.read_op());
        direct.start(whole, len, End::Tell(io.clone()), next)?;
        return Ok(0);
    }
    let done = uio::consume(to, |to| {
        if direct.is_async() && seekable && len > direct.max && uio::is_process_memory(to) {
            let whole = Whole::Read(direct.read_op());
            direct.start_and_wait(whole, len, |left| direct.take(to, left, None))
        } else {
            direct.read_in_turn(to)
        }
    })?;
    io.set_position(direct.position.saturating_add(done as u64));
    Ok(done)
}

impl Direct<'_> {
    /// How much of `len` bytes to ask for: the end of the file is not to be asked for again and
    /// again.
    fn read_len(&self, len: usize) -> Result<usize> {
        if self.handle.is_direct() || !self.is_async() || len <= self.max {
            return Ok(len);
        }
        if !self.is_inside(len) {
            attributes::refresh(self.inode)?;
        }
        let known = self.inode.size().saturating_sub(self.position).max(1);
        let asked = known
            .checked_next_multiple_of(self.max as u64)
            .unwrap_or(known);
        Ok(usize::try_from(asked).map_or(len, |asked| asked.min(len)))
    }

    fn start(
        &self,
        whole: Whole,
        len: usize,
        end: End,
        next: impl FnMut(usize) -> Result<Option<UserPages>>,
    ) -> Result<super::transfer::Started> {
        let range = (self.position, len);
        Transfer::start(self.inode, self.envelope, whole, range, end, next)
    }

    fn start_and_wait(
        &self,
        whole: Whole,
        len: usize,
        next: impl FnMut(usize) -> Result<Option<UserPages>>,
    ) -> Result<usize> {
        let over = Over::new()?;
        let started = self.start(whole, len, End::Wait(over.clone()), next)?;
        over.wait()?;
        started.result()
    }

    /// Reads with one request after the other.
    fn read_in_turn(&self, to: &mut IovIterDest<'_>) -> Result<usize> {
        in_turn(to, |to, offset| {
            let part = self.read_part(to, offset);
            attributes::accessed(self.inode);
            part
        })
    }

    /// Reads what comes behind `offset`; also returns whether there may be more.
    fn read_part(&self, to: &mut IovIterDest<'_>, offset: usize) -> Result<(usize, bool)> {
        let op = |len| {
            Ok::<_, Error>(Read {
                offset: self.position.saturating_add(offset as u64),
                size: u32::try_from(len).map_err(|_| EINVAL)?,
                ..self.read_op()
            })
        };
        if let Some(pages) = self.take(to, self.max, None)? {
            let len = pages.len();
            let buffer = ReplyBuffer::Callers(pages);
            let done = self
                .connection
                .call_into(&op(len)?, self.envelope, buffer)?;
            return Ok((done, done == len));
        }
        let len = to.len().min(self.max);
        let ((), reply) = self.connection.call_for_bytes(&op(len)?, self.envelope)?;
        let body = reply.body();
        if to.copy_to_iter(body) < body.len() {
            return Err(EFAULT);
        }
        Ok((body.len(), body.len() == len))
    }
}

/// The lock a direct write is made under.
#[expect(dead_code, reason = "held")]
enum Lock<'a> {
    Alone(InodeGuard<'a, Fuse>),
    Shared(SharedInodeGuard<'a, Fuse>),
}

/// Locks the inode for a write of `from`.
///
/// Writes to a file whose server takes parallel ones exclude each other only if they change more
/// than data: the size, or set-id bits.
fn lock<'a>(
    io: &Io<'_, Fuse>,
    inode: &'a Inode,
    handle: &Handle,
    from: &IovIterSource<'_>,
) -> Result<Lock<'a>> {
    let data_only = || {
        let end = io.position().saturating_add(from.len() as u64);
        end <= inode.size() && !io.file().has_setid()
    };
    let flags = OpenFlags::DIRECT_IO.with(OpenFlags::PARALLEL_DIRECT_WRITES);
    if handle.open.contains(flags) && !io.is_append() && data_only() {
        let shared = inode.lock_shared()?;
        if data_only() {
            return Ok(Lock::Shared(shared));
        }
    }
    inode.lock().map(Lock::Alone)
}

/// Writes past the page cache. The end of the file is known if that is where to write.
pub(super) fn write(
    mut io: Io<'_, Fuse>,
    handle: &Handle,
    from: &mut IovIterSource<'_>,
) -> Result<usize> {
    let file = io.file();
    let inode = file.inode();
    let written = {
        let lock = lock(&io, inode, handle, from)?;
        let len = io.check_write(from)?;
        if len == 0 {
            return Ok(0);
        }
        if matches!(lock, Lock::Alone(_)) {
            file.remove_privileges()?;
        }
        let direct = Direct::new(&file, handle, io.position(), true)?;
        writeback::write_range(inode, direct.range(len))?;
        // Who sees a new size must find what lies before it, so such writes are made in turn.
        let parallel = direct.is_async() && direct.is_inside(len);
        if parallel && !io.is_sync() && !io.is_durable() {
            let io = io.detach()?;
            let next = |left: usize| direct.take(from, left, Some(&io));
            let whole = Whole::Write(direct.write_op());
            direct.start(whole, len, End::Tell(io.clone()), next)?;
            return Ok(0);
        }
        let written = uio::consume(from, |from| {
            if parallel && len > direct.max && uio::is_process_memory(from) {
                direct.write_together(from, len)
            } else {
                direct.write_in_turn(from)
            }
        })?;
        io.set_position(direct.position.saturating_add(written as u64));
        written
    };
    io.sync_written(written)
}

/// Writes past the page cache, one request after the other. The inode is locked, and what is to be
/// written was checked.
pub(crate) fn write_past(
    io: &mut Io<'_, Fuse>,
    handle: &Handle,
    from: &mut IovIterSource<'_>,
) -> Result<usize> {
    let file = io.file();
    let direct = Direct::new(&file, handle, io.position(), true)?;
    let written = uio::consume(from, |from| direct.write_in_turn(from))?;
    io.set_position(direct.position.saturating_add(written as u64));
    Ok(written)
}

impl Direct<'_> {
    /// Writes with several requests at a time.
    fn write_together(&self, from: &mut IovIterSource<'_>, len: usize) -> Result<usize> {
        let whole = Whole::Write(self.write_op());
        let written = self.start_and_wait(whole, len, |left| self.take(from, left, None));
        // If the caller is killed, the data is written all the same.
        let _ = stale::drop_range(self.inode, self.position, len as u64);
        written.and_then(written_at_all)
    }

    /// Writes with one request after the other.
    fn write_in_turn(&self, from: &mut IovIterSource<'_>) -> Result<usize> {
        in_turn(from, |from, offset| self.write_part(from, offset)).and_then(written_at_all)
    }

    /// Writes what comes behind `offset`; also returns whether the server takes more.
    fn write_part(&self, from: &mut IovIterSource<'_>, offset: usize) -> Result<(usize, bool)> {
        let data = match self.take(from, self.max, None)? {
            Some(pages) => Payload::Callers(Arc::new(pages, GFP_KERNEL)?),
            None => Payload::Own(Arc::new(PageData::copy_from(from, self.max)?, GFP_KERNEL)?),
        };
        let len = data.len();
        let position = self.position.saturating_add(offset as u64);
        let op = Write {
            offset: position,
            size: u32::try_from(len).map_err(|_| EINVAL)?,
            ..self.write_op()
        };
        let written = self.connection.call_with_data(&op, self.envelope, data);
        // Also if it failed or the caller is killed: nobody knows what of it the server has taken.
        let _ = stale::drop_range(self.inode, position, len as u64);
        match written {
            Ok(written) => {
                let written = written as usize;
                // After the data: who sees the new size finds it.
                attributes::written(self.inode, position.saturating_add(written as u64));
                Ok((written, written == len))
            }
            Err(error) => {
                attributes::invalidate(self.inode);
                Err(error)
            }
        }
    }
}

/// A write of nothing is an error that the server has not told.
pub(super) fn written_at_all(written: usize) -> Result<usize> {
    if written == 0 {
        Err(EIO)
    } else {
        Ok(written)
    }
}
