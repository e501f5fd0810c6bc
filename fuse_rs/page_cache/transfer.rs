// SPDX-License-Identifier: GPL-2.0

//! Reads and writes of the caller's memory in several requests at a time.
//!
//! Each part of a [`Transfer`] is a request with memory of its own. When the last one is over, the
//! caller is told how much is done from the start on without a gap. Nobody has to wait: a caller
//! that is killed leaves its memory, which is pinned, to the requests.

use super::direct::written_at_all;
use super::over::Over;
use super::stale;
use crate::connection::call::Envelope;
use crate::connection::payload::Payload;
use crate::connection::post::Post;
use crate::connection::post::Urgency;
use crate::connection::reply::Reply;
use crate::connection::reply::ReplyBuffer;
use crate::connection::request::Completion;
use crate::connection::Connection;
use crate::filesystem::attributes;
use crate::filesystem::inode;
use crate::filesystem::late::KeptInode;
use crate::filesystem::Inode;
use crate::prelude::*;
use fuse_pure::logic::prefix::Prefix;
use fuse_pure::op::rw::Read;
use fuse_pure::op::rw::Write;
use fuse_pure::op::Operation;
use kernel_glue::mem::user_pages::UserPages;
use kernel_glue::vfs::deferred::Deferred;
use kernel_glue::vfs::deferred::Task;
use kernel_glue::vfs::io::AsyncIo;

/// A request for the whole transfer, of which each part asks for some.
#[derive(Clone, Copy)]
pub(super) enum Whole {
    Read(Read),
    Write(Write),
}

impl Whole {
    fn is_write(&self) -> bool {
        matches!(self, Self::Write(_))
    }
}

/// Who is told that a transfer is over.
pub(super) enum End {
    /// Somebody who waits.
    Wait(Arc<Over>),
    /// Whoever asked for it.
    Tell(AsyncIo),
}

/// A transfer.
#[pin_data]
pub(super) struct Transfer {
    inode: KeptInode,
    whole: Whole,
    position: u64,
    len: usize,
    #[pin]
    prefix: SpinLock<Prefix<Error>>,
    /// Parts that are not over, and one as long as there may be more.
    parts: Atomic<u32>,
    end: End,
}

/// A transfer that has been started.
pub(super) struct Started(Arc<Deferred<Transfer>>);

impl Started {
    /// How much of it is done, or why nothing is.
    pub(super) fn result(&self) -> Result<usize> {
        self.0.prefix.lock().result()
    }
}

/// A part of a transfer.
struct Part {
    transfer: Arc<Deferred<Transfer>>,
    offset: usize,
    len: usize,
    /// The request, if it is a WRITE.
    write: Option<Write>,
}

impl Completion for Part {
    fn complete(&mut self, _: &Arc<Connection>, answer: Result<Reply>) {
        let done = answer.and_then(|reply| match self.write {
            None => Ok(reply.len),
            Some(op) => op
                .parse(reply.body())
                .map(|written| written as usize)
                .map_err(|_| EIO),
        });
        self.transfer
            .prefix
            .lock()
            .part(self.offset, self.len, done);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        Transfer::part_is_over(&self.transfer);
    }
}

impl Task for Transfer {
    fn run(&self) {
        // A task of the kernel's own is not killed.
        let _ = stale::drop_range(&self.inode, self.position, self.len as u64);
    }
}

impl Transfer {
    /// Sends the requests for `len` bytes at `position`: `next` takes memory of up to so many bytes
    /// for each.
    pub(super) fn start(
        inode: &Inode,
        envelope: Envelope<'_>,
        whole: Whole,
        (position, len): (u64, usize),
        end: End,
        next: impl FnMut(usize) -> Result<Option<UserPages>>,
    ) -> Result<Started> {
        let untouched = Prefix::new(len);
        let this = Deferred::new(pin_init!(Self {
            inode: inode.into(),
            whole,
            position,
            len,
            prefix <- new_spinlock!(untouched, "fuse_rs::Transfer::prefix"),
            parts: Atomic::new(1),
            end,
        }))?;
        Self::send(&this, envelope, next);
        Self::part_is_over(&this);
        Ok(Started(this))
    }

    fn send(
        this: &Arc<Deferred<Self>>,
        envelope: Envelope<'_>,
        mut next: impl FnMut(usize) -> Result<Option<UserPages>>,
    ) {
        let mut offset = 0usize;
        while offset < this.len {
            let left = this.len.saturating_sub(offset);
            let sent = next(left).and_then(|pages| {
                let pages = pages.ok_or(EFAULT)?;
                let len = pages.len();
                Self::send_part(this, envelope, offset, pages).map(|()| len)
            });
            match sent {
                Ok(len) => offset = offset.saturating_add(len),
                Err(error) => {
                    this.prefix.lock().part(offset, left, Err(error));
                    return;
                }
            }
        }
    }

    fn send_part(
        this: &Arc<Deferred<Self>>,
        envelope: Envelope<'_>,
        offset: usize,
        pages: UserPages,
    ) -> Result {
        let connection = inode::connection(&this.inode);
        let len = pages.len();
        let size = u32::try_from(len).map_err(|_| EINVAL)?;
        let position = this.position.saturating_add(offset as u64);
        let part = |write| {
            this.parts.fetch_add(1, Relaxed);
            let part = Part {
                transfer: this.clone(),
                offset,
                len,
                write,
            };
            let done: KBox<dyn Completion> = KBox::new(part, GFP_KERNEL)?;
            Ok::<_, Error>(Post::new(Urgency::Background, done))
        };
        match this.whole {
            Whole::Read(whole) => {
                let op = Read {
                    offset: position,
                    size,
                    ..whole
                };
                let post = part(None)?.into_buffer(ReplyBuffer::Callers(pages));
                connection.post(&op, envelope, post)
            }
            Whole::Write(whole) => {
                let op = Write {
                    offset: position,
                    size,
                    ..whole
                };
                let data = Payload::Callers(Arc::new(pages, GFP_KERNEL)?);
                connection.post(&op, envelope, part(Some(op))?.with_data(data))
            }
        }
    }

    /// A part is over, or there will be no more. Does not wait for the server.
    fn part_is_over(this: &Arc<Deferred<Self>>) {
        if this.parts.fetch_sub(1, Full) != 1 {
            return;
        }
        let result = this.prefix.lock().result();
        let result = if this.whole.is_write() {
            this.wrote(result)
        } else {
            attributes::accessed(&this.inode);
            result
        };
        match &this.end {
            End::Wait(over) => over.set(),
            End::Tell(io) => {
                io.set_result(&result);
                if this.whole.is_write() && this.inode.has_pages() {
                    // What has been cached meanwhile may be older than what was written. To drop it
                    // may take the server, which this may be.
                    io.defer(this.clone());
                }
            }
        }
    }

    fn wrote(&self, result: Result<usize>) -> Result<usize> {
        let written = result.and_then(written_at_all);
        match written {
            Ok(written) => {
                let end = self.position.saturating_add(written as u64);
                attributes::written(&self.inode, end);
            }
            Err(_) => attributes::invalidate(&self.inode),
        }
        written
    }
}
