// SPDX-License-Identifier: GPL-2.0

//! What is told to who traces a connection.

use super::reply::Reply;
use super::request::Request;
use super::Connection;
use crate::prelude::*;
use fuse_pure::abi::header::OUT_HEADER;

impl Connection {
    fn trace_number(&self) -> u32 {
        self.number.as_ref().copied().unwrap_or(0)
    }

    /// There are `change` more temporary pages, or fewer, and `pages` in all.
    pub(super) fn trace_temporary_pages(&self, change: i64, pages: u64) {
        fuse_trace::temporary_pages(|| fuse_trace::TemporaryPages {
            connection: self.trace_number(),
            change,
            pages,
        });
    }
}

impl Request {
    fn trace_fields(&self, connection: &Connection) -> fuse_trace::Request {
        fuse_trace::Request {
            connection: connection.trace_number(),
            unique: self.unique.get(),
            opcode: self.opcode.get(),
            len: bytes(self.message_len()),
        }
    }

    /// The request is put on its way to the server.
    pub(super) fn trace_send(&self, connection: &Connection) {
        fuse_trace::request_send(|| self.trace_fields(connection));
    }

    /// The server reads the request.
    pub(crate) fn trace_sent(&self, connection: &Connection) {
        fuse_trace::request_sent(|| self.trace_fields(connection));
    }

    /// The request has an answer; `replied` says whether it is the server's.
    pub(super) fn trace_end(&self, connection: &Connection, replied: bool, answer: &Result<Reply>) {
        fuse_trace::request_end(|| {
            let (body, error) = match answer {
                Ok(reply) => (reply.len, 0),
                Err(error) => (0, error.to_errno()),
            };
            let len = if replied {
                bytes(OUT_HEADER.saturating_add(body))
            } else {
                0
            };
            fuse_trace::Answer {
                connection: connection.trace_number(),
                unique: self.unique.get(),
                len,
                error,
            }
        });
    }
}

/// The length of a message, which the protocol has in 32 bits.
fn bytes(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
