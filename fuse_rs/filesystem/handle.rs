// SPDX-License-Identifier: GPL-2.0

//! Open files and directories.

use super::attributes;
use super::inode;
use super::kept;
use super::listing;
use super::poll::Polled;
use super::poll::PolledFile;
use super::set_ids;
use super::Fuse;
use super::Inode;
use super::OpenFile;
use crate::connection::call::Envelope;
use crate::connection::node::ServerNode;
use crate::connection::opened::ServerOpen;
use crate::connection::post::Ignore;
use crate::connection::Connection;
use crate::dax;
use crate::page_cache;
use crate::page_cache::in_flight;
use crate::page_cache::writeback;
use crate::prelude::*;
use core::ops::Range;
use fuse_pure::abi::flags::OpenFlags;
use fuse_pure::abi::ids::FileHandle;
use fuse_pure::abi::ids::Opcode;
use fuse_pure::abi::init::InitFlags;
use fuse_pure::logic::freshness::Fields;
use fuse_pure::op::open::Directory;
use fuse_pure::op::open::File;
use fuse_pure::op::open::Flush;
use fuse_pure::op::open::Fsync;
use fuse_pure::op::open::Open;
use kernel::fs::file::flags;
use kernel::sync::SetOnce;
use kernel_glue::vfs::caller::was_killed;
use kernel_glue::vfs::file::DirEmitter;
use kernel_glue::vfs::file_ops::FileOperations;
use kernel_glue::vfs::file_ops::OpenMode;
use kernel_glue::vfs::file_ops::SeekFor;

/// An open file or directory. Dropping it tells the server.
pub(crate) struct Handle {
    connection: Arc<Connection>,
    /// What is closed at the end; nothing if the server does not want to know about opens.
    open_there: Option<Arc<ServerOpen>>,
    /// What the server says of it.
    pub(crate) open: OpenFlags,
    directory: bool,
    /// The server has been asked for a lock of flock(2).
    flocked: Atomic<bool>,
    /// Once somebody has waited until it is ready.
    polled: SetOnce<PolledFile>,
    /// How far the listing of a directory has got.
    pub(crate) reader: listing::Reader,
}

impl Handle {
    /// A file that is open at the server, unless that does not want to know about opens.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, after the server has been told to close it.
    pub(crate) fn new(
        connection: &Arc<Connection>,
        open_there: Option<Arc<ServerOpen>>,
        open: OpenFlags,
        directory: bool,
    ) -> Result<KBox<Self>> {
        let handle = Self {
            connection: connection.clone(),
            open_there,
            open,
            directory,
            flocked: Atomic::new(false),
            polled: SetOnce::new(),
            reader: listing::Reader::new(),
        };
        Ok(KBox::new(handle, GFP_KERNEL)?)
    }

    /// The server's name for it.
    pub(crate) fn fh(&self) -> FileHandle {
        self.open_there
            .as_ref()
            .map_or(FileHandle(0), |open| open.fh())
    }

    /// What requests that name it must keep.
    pub(crate) fn open_there(&self) -> Option<&Arc<ServerOpen>> {
        self.open_there.as_ref()
    }

    /// The server has been asked for a lock of flock(2), which ends with the open file.
    pub(crate) fn set_flocked(&self) {
        self.flocked.store(true, Relaxed);
    }

    /// The file among those of its mount that somebody has waited for.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn polled(&self, of_mount: &Arc<Polled>) -> Result<&PolledFile> {
        if self.polled.as_ref().is_none() {
            of_mount.add(&self.polled)?;
        }
        self.polled.as_ref().ok_or(EIO)
    }

    /// How the open file may be used.
    pub(crate) fn mode(&self) -> OpenMode {
        OpenMode {
            nonseekable: self.open.contains(OpenFlags::NONSEEKABLE),
            stream: self.open.contains(OpenFlags::STREAM),
        }
    }

    /// Whether the page cache is left out.
    pub(crate) fn is_direct(&self) -> bool {
        self.open.contains(OpenFlags::DIRECT_IO)
    }
}

/// How files and directories are opened that the server does not want to know of.
const UNASKED: OpenFlags = OpenFlags::KEEP_CACHE.with(OpenFlags::CACHE_DIR);

/// Flags that matter only at creation.
const CREATION: u32 = flags::O_CREAT | flags::O_EXCL | flags::O_NOCTTY;

/// Asks the server to open a file or directory.
pub(crate) fn ask_open(
    connection: &Arc<Connection>,
    node: &Arc<ServerNode>,
    flags: u32,
    directory: bool,
) -> Result<(Arc<ServerOpen>, OpenFlags)> {
    if directory {
        let op = Open {
            flags,
            kill_suidgid: false,
            target: Directory,
        };
        connection.call_open(&op, node)
    } else {
        let op = Open {
            flags,
            kill_suidgid: flags & flags::O_TRUNC != 0 && set_ids::end_by_caller(connection),
            target: File,
        };
        connection.call_open(&op, node)
    }
}

impl FileOperations for Fuse {
    fn open(inode: &Inode, flags: u32) -> Result<(KBox<Handle>, OpenMode)> {
        let node = inode::node(inode)?;
        let connection = inode::connection(inode);
        let directory = inode.is_directory();
        connection.wait_ready()?;
        let truncates =
            flags & flags::O_TRUNC != 0 && connection.has(InitFlags::ATOMIC_O_TRUNC) && !directory;
        let mut sent = flags & !CREATION;
        if !truncates {
            sent &= !flags::O_TRUNC;
        }
        // A truncating open must not overlap with writes.
        let guard = truncates.then(|| inode.lock()).transpose()?;
        let stopped = truncates
            .then(|| in_flight::stop_writes(inode))
            .transpose()?;
        let faults = truncates
            .then(|| dax::stop_faults(inode))
            .transpose()?
            .flatten();
        let (open_there, open) = match ask_open(connection, node, sent, directory) {
            Ok((open_there, open)) => (Some(open_there), open),
            Err(error) if error == ENOSYS => (None, UNASKED),
            Err(error) => return Err(error),
        };
        let handle = Handle::new(connection, open_there, open, directory)?;
        if truncates {
            attributes::truncated(inode, faults)?;
        }
        drop(stopped);
        drop(guard);
        if directory {
            listing::opened(inode, handle.open);
        }
        if inode.is_regular() && !handle.open.contains(OpenFlags::KEEP_CACHE) {
            page_cache::stale::drop_all(inode)?;
        }
        let mode = handle.mode();
        Ok((handle, mode))
    }

    fn release(inode: &Inode, handle: KBox<Handle>, flags: u32, owner: usize) {
        listing::closed(inode, &handle);
        if let Some(open_there) = handle.open_there() {
            if open_there.is_queued() {
                // Perhaps nobody else can write what is dirty.
                writeback::start(inode);
                inode.data().in_flight.remove_writer(open_there);
            }
            open_there.set_flags(flags);
            if handle.flocked.load(Relaxed) {
                open_there.set_flock_owner(handle.connection.lock_owner(owner));
            }
        }
        drop(handle);
    }

    fn flush(file: &OpenFile<'_>, owner: usize) -> Result {
        let handle = file.handle().ok_or(EIO)?;
        let inode = file.inode();
        let node = inode::node(inode)?;
        let killed = was_killed();
        let written = if killed {
            writeback::start(inode);
            Ok(())
        } else {
            writeback::write_all(inode).and(file.write_error())
        };
        let unflushed = handle.open.contains(OpenFlags::NOFLUSH) && !kept::keeps(inode);
        if unflushed || handle.connection.lacks(Opcode::Flush) {
            return written;
        }
        let op = Flush {
            fh: handle.fh(),
            lock_owner: handle.connection.lock_owner(owner),
        };
        // A close(2) must not fail for want of an identity.
        let envelope = Envelope::by_any_caller(node).with(handle.open_there());
        if killed {
            // Nobody is left to hear of errors, and a server that does not answer must not keep
            // the process from ending.
            return handle.connection.post(&op, envelope, Ignore::the_answer()?);
        }
        let flushed = match handle.connection.call(&op, envelope) {
            Err(error) if error == ENOSYS => Ok(()),
            other => other,
        };
        written.and(flushed)
    }

    fn fsync(file: &OpenFile<'_>, datasync: bool) -> Result {
        let handle = file.handle().ok_or(EIO)?;
        let written = writeback::write_all(file.inode());
        // Also if not all is written: an error that has happened is told once.
        file.write_error().and(written)?;
        let envelope = Envelope::by_caller(inode::node(file.inode())?).with(handle.open_there());
        let answer = if handle.directory {
            let op = Fsync {
                fh: handle.fh(),
                datasync,
                target: Directory,
            };
            handle.connection.call(&op, envelope)
        } else {
            let op = Fsync {
                fh: handle.fh(),
                datasync,
                target: File,
            };
            handle.connection.call(&op, envelope)
        };
        match answer {
            Err(error) if error == ENOSYS => Ok(()),
            other => other,
        }
    }

    fn before_seek_end(inode: &Inode) -> Result {
        attributes::refresh_some(inode, Fields::SIZE)
    }

    fn seek_for(file: &OpenFile<'_>, offset: u64, what: SeekFor) -> Result<u64> {
        super::range::seek_for(file, offset, what)
    }

    fn allocate(file: &OpenFile<'_>, mode: u32, range: Range<u64>) -> Result {
        super::range::allocate(file, mode, range)
    }

    fn copy(from: (&OpenFile<'_>, u64), to: (&OpenFile<'_>, u64), len: usize) -> Result<usize> {
        super::range::copy(from, to, len)
    }

    fn iterate(file: &OpenFile<'_>, out: &mut DirEmitter<'_>) -> Result {
        super::readdir::iterate(file, out)
    }
}
