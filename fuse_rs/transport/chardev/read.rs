// SPDX-License-Identifier: GPL-2.0

//! Requests to the server.

use super::ended;
use super::ServerFile;
use crate::connection::node::ServerNode;
use crate::connection::payload::Payload;
use crate::connection::queue::Deliverable;
use crate::connection::reply::Reply;
use crate::connection::request::Request;
use crate::connection::request::Taken;
use crate::connection::Connection;
use crate::prelude::*;
use fuse_pure::abi::cursor::Overflow;
use fuse_pure::abi::cursor::Reader;
use fuse_pure::abi::cursor::Writer;
use fuse_pure::abi::header::InHeader;
use fuse_pure::abi::header::IN_HEADER;
use fuse_pure::abi::ids::Opcode;
use fuse_pure::abi::ids::Unique;
use fuse_pure::abi::open::WriteIn;
use fuse_pure::op::forget;
use fuse_pure::op::ReplyShape;
use kernel_glue::list::Queue;
use kernel_glue::uio::MessageSink;

/// The smallest buffer a server may read with.
const MIN_READ_BUFFER: usize = 8192;
/// What the server is told before it has told us what it can take.
const DEFAULT_MAX_WRITE: usize = 4096;
/// Forgets in one message at most.
const MAX_BATCH: usize = 4096;
/// Largest part of a message that is put together before it is copied.
const PART: usize = 64;

impl ServerFile {
    /// Reads the next message. Sleeps until there is one unless `nonblock` is set.
    ///
    /// # Errors
    ///
    /// `EPERM` before the file serves a connection, `ENODEV` or `ECONNABORTED` after its end,
    /// `EINVAL` for a buffer that is too small for any server, `EAGAIN`, `ERESTARTSYS`, `EFAULT`.
    pub(super) fn read_message(&self, to: &mut dyn MessageSink, nonblock: bool) -> Result<usize> {
        let connection = self.connection()?;
        let max_write = connection
            .terms()
            .map_or(DEFAULT_MAX_WRITE, |terms| terms.max_write as usize);
        let needed = IN_HEADER
            .saturating_add(core::mem::size_of::<WriteIn>())
            .saturating_add(max_write);
        if to.room() < needed.max(MIN_READ_BUFFER) {
            return Err(EINVAL);
        }
        let batches = connection
            .terms()
            .is_some_and(|terms| terms.minor >= forget::BATCH_FORGET_MINOR);
        let max_forgets = if batches {
            (to.room().saturating_sub(forget::BATCH_FORGET_HEAD) / forget::BATCH_FORGET_ENTRY)
                .min(MAX_BATCH)
        } else {
            1
        };
        loop {
            // Whoever ends the connection waits until the request is in a queue again.
            let work = connection.work();
            let request = match next(connection, max_forgets, to.room())? {
                Some(Deliverable::Interrupt(request)) => {
                    drop(work);
                    return send_interrupt(to, request);
                }
                Some(Deliverable::Forgets(nodes)) => {
                    drop(work);
                    return send_forgets(connection, to, nodes);
                }
                Some(Deliverable::Request(request)) => request,
                None => {
                    drop(work);
                    wait(connection, nonblock)?;
                    continue;
                }
            };
            let taken = self.take(connection, &request);
            drop(work);
            if let Some(taken) = taken {
                return self.send(connection, to, &request, taken);
            }
        }
    }

    /// Takes a request for this device file; nothing if it is over.
    fn take(&self, connection: &Arc<Connection>, request: &Arc<Request>) -> Option<Taken> {
        let taken = request.set_sent(self.id)?;
        let remembered = request.shape == ReplyShape::NoReply || connection.remember(request);
        if !remembered {
            return None;
        }
        request.trace_sent(connection);
        Some(taken)
    }

    /// Copies a request to the server.
    fn send(
        &self,
        connection: &Arc<Connection>,
        to: &mut dyn MessageSink,
        request: &Arc<Request>,
        taken: Taken,
    ) -> Result<usize> {
        let Taken { interrupted, data } = taken;
        let copied = copy_request(request, data, to);
        if request.shape == ReplyShape::NoReply {
            connection.finish(request, Ok(Reply::nothing()));
            copied?;
            return Ok(request.message_len());
        }
        if let Err(error) = copied {
            let _work = connection.work();
            if connection.in_flight.lock().remove(request) {
                connection.finish(request, Err(EIO));
            }
            return Err(error);
        }
        if interrupted {
            connection.queue_interrupt(request);
        }
        Ok(request.message_len())
    }
}

/// Copies a request and its data, which is not kept any longer than that.
fn copy_request(request: &Request, data: Option<Payload>, to: &mut dyn MessageSink) -> Result {
    let message = request.message();
    if request.is_resent() {
        let (header, body) = message.split_at_checked(IN_HEADER).ok_or(EIO)?;
        let header: InHeader = Reader::new(header).take().map_err(|_| EIO)?;
        send_part(to, |w| {
            w.put(&InHeader {
                unique: request.id_there().get(),
                ..header
            })
        })?;
        to.put(body)?;
    } else {
        to.put(message)?;
    }
    match data {
        Some(data) => data.copy_to(to),
        None => Ok(()),
    }
}

/// Takes the next message that fits into `room`; none if there is nothing to read.
fn next(
    connection: &Arc<Connection>,
    max_forgets: usize,
    room: usize,
) -> Result<Option<Deliverable>> {
    loop {
        let next = {
            let mut queue = connection.queue.lock();
            if let Some(how) = queue.end() {
                return Err(ended(connection, how));
            }
            queue.next(max_forgets)
        };
        match next {
            Some(Deliverable::Request(request)) if request.message_len() > room => {
                let error = if request.opcode == Opcode::Setxattr {
                    E2BIG
                } else {
                    EIO
                };
                connection.finish(&request, Err(error));
            }
            other => return Ok(other),
        }
    }
}

/// Sleeps until there is something to read, or the connection has ended.
fn wait(connection: &Arc<Connection>, nonblock: bool) -> Result {
    if nonblock {
        return Err(EAGAIN);
    }
    connection
        .readable
        .wait(Signals::Interruptible, Wake::Exclusive, || {
            let queue = connection.queue.lock();
            queue.end().is_some() || !queue.is_empty()
        })
}

/// Puts a part of a message together and copies it.
fn send_part(
    to: &mut dyn MessageSink,
    fill: impl FnOnce(&mut Writer<'_>) -> Result<(), Overflow>,
) -> Result<usize> {
    let mut part = [0u8; PART];
    let mut writer = Writer::new(&mut part);
    fill(&mut writer).map_err(|_| EIO)?;
    let len = writer.written();
    let bytes = part.get(..len).ok_or(EIO)?;
    to.put(bytes)?;
    Ok(len)
}

fn send_interrupt(to: &mut dyn MessageSink, request: Unique) -> Result<usize> {
    send_part(to, |w| forget::write_interrupt(w, request))
}

fn send_forgets(
    connection: &Connection,
    to: &mut dyn MessageSink,
    mut nodes: Queue<ServerNode>,
) -> Result<usize> {
    let unique = connection.message_unique();
    if nodes.len() == 1 {
        let one = nodes.pop_front().ok_or(EIO)?.forget();
        return send_part(to, |w| forget::write_forget(w, unique, one));
    }
    let count = u32::try_from(nodes.len()).map_err(|_| EIO)?;
    let mut sent = send_part(to, |w| forget::write_batch_head(w, unique, count))?;
    while let Some(node) = nodes.pop_front() {
        let part = send_part(to, |w| forget::write_batch_entry(w, node.forget()))?;
        sent = sent.saturating_add(part);
    }
    Ok(sent)
}
