// SPDX-License-Identifier: GPL-2.0

//! Replies from the server. This is the edge where they are validated.

use super::ServerFile;
use crate::connection::request::Reply;
use crate::connection::request::Request;
use crate::connection::Connection;
use crate::prelude::*;
use fuse_pure::abi::header::OutHeader;
use fuse_pure::abi::header::ServerErrno;
use fuse_pure::abi::header::OUT_HEADER;
use fuse_pure::abi::ids::Opcode;
use fuse_pure::abi::ids::Unique;

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
            // None is known yet; servers cope with ENOSYS.
            return Err(ENOSYS);
        }
        let error = ServerErrno::parse(header.error).map_err(|_| EINVAL)?;
        let body = total.saturating_sub(OUT_HEADER);
        if unique.is_interrupt() {
            return self
                .interrupt_reply(connection, unique, error, body)
                .map(|()| total);
        }
        let request = connection
            .in_flight
            .lock()
            .take(unique, self.id)
            .ok_or(ENOENT)?;
        receive(connection, &request, error, from, body).map(|()| total)
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

/// Takes the body of a reply and ends the request.
fn receive(
    connection: &Arc<Connection>,
    request: &Arc<Request>,
    error: Option<ServerErrno>,
    from: &mut IovIterSource<'_>,
    len: usize,
) -> Result {
    let Some(mut buffer) = request.start_receiving() else {
        return Err(ENOENT);
    };
    if let Some(error) = error {
        drop(buffer);
        let (answer, told) = if len == 0 {
            (Error::from_errno(-error.get()), Ok(()))
        } else {
            (EIO, Err(EINVAL))
        };
        connection.finish(request, Err(answer));
        return told;
    }
    if !request.shape.allows(len) {
        drop(buffer);
        connection.finish(request, Err(EIO));
        return Err(EINVAL);
    }
    let copied = buffer.fill(from, len);
    match copied {
        Ok(()) => connection.finish(request, Ok(Reply { buffer, len })),
        Err(_) => {
            drop(buffer);
            connection.finish(request, Err(EIO));
        }
    }
    copied
}
