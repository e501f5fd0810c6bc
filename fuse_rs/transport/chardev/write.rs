// SPDX-License-Identifier: GPL-2.0

//! Replies from the server. This is the edge where they are validated.

use super::ServerFile;
use crate::connection::reply::Reply;
use crate::connection::reply::ReplyBuffer;
use crate::connection::request::Request;
use crate::connection::Connection;
use crate::prelude::*;
use fuse_pure::abi::header::OutHeader;
use fuse_pure::abi::header::ServerErrno;
use fuse_pure::abi::header::OUT_HEADER;
use fuse_pure::abi::ids::Opcode;
use fuse_pure::abi::ids::Unique;
use fuse_pure::op::notify;
use fuse_pure::op::notify::Notice;
use fuse_pure::op::notify::Refusal;
use kernel_glue::mem::pages::PageData;
use kernel_glue::sys::let_others_run;
use kernel_glue::uio::fault_in;
use kernel_glue::uio::without_faults;

/// How often memory may vanish between making sure that it is there and reading it.
const MAX_TRIES: u32 = 64;

/// Most data in a notification: as much as in the largest WRITE.
const MAX_DATA: usize = 16 << 20;

/// Node ids of a PRUNE that are read at a time.
const PRUNE_BATCH: usize = 512;

impl ServerFile {
    /// Takes one reply.
    ///
    /// # Errors
    ///
    /// `EPERM` before the file serves a connection; `EINVAL` for a malformed reply; `ENOENT` when
    /// the request is unknown, answered, over, or with another device file; `EFAULT`.
    pub(super) fn write_message(&self, from: &mut IovIterSource<'_>) -> Result<usize> {
        let connection = self.connection()?;
        let total = from.len();
        let header = read_header(from)?;
        if header.len as usize != total {
            return Err(EINVAL);
        }
        let unique = Unique::from_server(header.unique);
        if unique.is_notification() {
            return notify(connection, header.error, from).map(|()| total);
        }
        let unique = unique.sent_first();
        let error = ServerErrno::parse(header.error).map_err(|_| EINVAL)?;
        let body = total.saturating_sub(OUT_HEADER);
        if unique.is_interrupt() {
            return self
                .interrupt_reply(connection, unique, error, body)
                .map(|()| total);
        }
        let reply = Incoming { error, len: body };
        for _ in 0..MAX_TRIES {
            // Nothing of ours is held while a page of the server's memory is waited for: it may
            // be the server itself that never brings it.
            let readable = fault_in(from, body) == body;
            let _work = connection.work();
            let request = connection
                .in_flight
                .lock()
                .take(unique, self.id)
                .ok_or(ENOENT)?;
            if !readable {
                connection.finish(&request, Err(EIO));
                return Err(EFAULT);
            }
            match receive(connection, &request, &reply, from) {
                Received::Done(told) => return told.map(|()| total),
                Received::NotNow(buffer) => put_back(connection, &request, buffer),
            }
        }
        // The server takes its memory away faster than it can be read.
        let _work = connection.work();
        let request = connection.in_flight.lock().take(unique, self.id);
        connection.finish(&request.ok_or(ENOENT)?, Err(EIO));
        Err(EFAULT)
    }

    fn interrupt_reply(
        &self,
        connection: &Arc<Connection>,
        unique: Unique,
        error: Option<ServerErrno>,
        body: usize,
    ) -> Result {
        if body != 0 {
            return Err(EINVAL);
        }
        let request = connection
            .in_flight
            .lock()
            .find(unique.interrupted(), self.id)
            .ok_or(ENOENT)?;
        match error.map(|error| Error::from_errno(-error.get())) {
            Some(ENOSYS) => connection.set_lacks(Opcode::Interrupt),
            // The server has not seen the request yet: try again.
            Some(EAGAIN) => connection.queue_interrupt(&request),
            _ => {}
        }
        Ok(())
    }
}

/// Returns a request whose reply could not be received now.
fn put_back(connection: &Arc<Connection>, request: &Arc<Request>, buffer: ReplyBuffer) {
    request.stop_receiving(buffer);
    connection.remember(request);
}

/// Takes what the server tells without being asked.
fn notify(connection: &Arc<Connection>, code: i32, from: &mut IovIterSource<'_>) -> Result {
    let len = from.len();
    let head_len = notify::head_len(code, len);
    let mut head = KVec::from_elem(0u8, head_len, GFP_KERNEL)?;
    if from.copy_from_iter(&mut head) != head_len {
        return Err(EFAULT);
    }
    let notice = Notice::parse(code, len, &head).map_err(|refusal| match refusal {
        Refusal::Unknown | Refusal::Malformed => EINVAL,
        Refusal::NameTooLong => ENAMETOOLONG,
    })?;
    let data = match notice {
        Notice::Store { len, .. } => {
            // All of it first: nothing of ours may be locked while the server's memory is read.
            let len = len as usize;
            if len > MAX_DATA {
                return Err(EINVAL);
            }
            let data = PageData::copy_from(from, len)?;
            if data.len() != len {
                return Err(EFAULT);
            }
            Some(data)
        }
        Notice::Prune => return prune(connection, from),
        _ => None,
    };
    connection.tell(notice, data.as_ref())
}

/// Takes the node ids of a PRUNE, which are all that follows.
fn prune(connection: &Arc<Connection>, from: &mut IovIterSource<'_>) -> Result {
    if from.len() > MAX_DATA {
        return Err(EINVAL);
    }
    let batch = from.len().min(PRUNE_BATCH * notify::NODE_LEN);
    let mut ids = KVec::from_elem(0u8, batch, GFP_KERNEL)?;
    while !from.is_empty() {
        let len = from.len().min(batch);
        let ids = ids.get_mut(..len).ok_or(EINVAL)?;
        if from.copy_from_iter(ids) != len {
            return Err(EFAULT);
        }
        connection.prune(notify::nodes(ids))?;
        let_others_run();
    }
    Ok(())
}

fn read_header(from: &mut IovIterSource<'_>) -> Result<OutHeader> {
    if from.len() < OUT_HEADER {
        return Err(EINVAL);
    }
    let mut bytes = [0u8; OUT_HEADER];
    if from.copy_from_iter(&mut bytes) != OUT_HEADER {
        return Err(EFAULT);
    }
    fuse_pure::abi::cursor::Reader::new(&bytes)
        .take()
        .map_err(|_| EINVAL)
}

/// What a header says of the reply.
struct Incoming {
    error: Option<ServerErrno>,
    /// Bytes of body.
    len: usize,
}

/// What has become of a reply.
enum Received {
    /// The request is over; the server is told this.
    Done(Result),
    /// Part of the reply is not in memory.
    NotNow(ReplyBuffer),
}

/// Takes the body of a reply and ends the request. Does not sleep.
fn receive(
    connection: &Arc<Connection>,
    request: &Arc<Request>,
    reply: &Incoming,
    from: &mut IovIterSource<'_>,
) -> Received {
    let Some(mut buffer) = request.start_receiving() else {
        return Received::Done(Err(ENOENT));
    };
    let len = reply.len;
    if let Some(error) = reply.error {
        drop(buffer);
        let (answer, told) = if len == 0 {
            (Error::from_errno(-error.get()), Ok(()))
        } else {
            (EIO, Err(EINVAL))
        };
        connection.finish(request, Err(answer));
        return Received::Done(told);
    }
    if !request.shape.allows(len) {
        drop(buffer);
        connection.finish(request, Err(EIO));
        return Received::Done(Err(EINVAL));
    }
    if without_faults(from, |from| buffer.fill(from, len)) {
        connection.finish(request, Ok(Reply { buffer, len }));
        Received::Done(Ok(()))
    } else {
        Received::NotNow(buffer)
    }
}
