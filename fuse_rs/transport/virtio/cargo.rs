// SPDX-License-Identifier: GPL-2.0

//! What travels through the queues of a device, and what comes back. This is the edge where replies of
//! a device are validated.

use crate::connection::node::ServerNode;
use crate::connection::payload::Held;
use crate::connection::reply::Reply;
use crate::connection::reply::ReplyBuffer;
use crate::connection::request::Carried;
use crate::connection::request::Request;
use crate::connection::Connection;
use crate::prelude::*;
use fuse_pure::abi::cursor::Reader;
use fuse_pure::abi::cursor::Writer;
use fuse_pure::abi::header::OutHeader;
use fuse_pure::abi::header::ServerErrno;
use fuse_pure::abi::header::OUT_HEADER;
use fuse_pure::abi::ids::Opcode;
use fuse_pure::op::forget;
use fuse_pure::op::ReplyShape;
use kernel_glue::list::Queue;
use kernel_glue::virtio::table::Load;
use kernel_glue::virtio::table::Table;

/// What travels through a queue.
pub(crate) enum Cargo {
    /// A request.
    Request(KBox<Flight>),
    /// Lookups given back.
    Forgets(Letter),
    /// Notice that a request was interrupted.
    Interrupt(Interrupt),
}

impl Load for Cargo {
    fn describe<'a>(&'a mut self, table: &mut Table<'a>) -> Result {
        match self {
            Self::Request(flight) => flight.0.as_mut().ok_or(EINVAL)?.describe(table),
            Self::Forgets(letter) => table.read_bytes(letter.bytes()),
            Self::Interrupt(interrupt) => {
                table.read_bytes(&interrupt.message)?;
                table.write_bytes(&mut interrupt.reply)
            }
        }
    }
}

/// A request under way, with all the memory it needs for that.
struct Voyage {
    connection: Arc<Connection>,
    request: Arc<Request>,
    buffer: ReplyBuffer,
    data: Option<Held>,
    /// For a buffer without room for it.
    header: [u8; OUT_HEADER],
}

/// What a request travels in; nothing when that is over.
pub(crate) struct Flight(Option<Voyage>);

impl Flight {
    /// An empty one. Does not sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new() -> Result<KBox<Self>> {
        Ok(KBox::new(Self(None), GFP_NOWAIT | __GFP_NOWARN)?)
    }

    /// Makes a request ready.
    ///
    /// # Errors
    ///
    /// The flight is to be [ended](Self::end) with this error.
    pub(super) fn take_off(
        &mut self,
        connection: &Arc<Connection>,
        request: Arc<Request>,
        carried: Carried,
    ) -> Result {
        let Carried { mut buffer, data } = carried;
        // The device may write less than it says.
        buffer.clear();
        let (data, held) = match data.map(|data| data.hold()).transpose() {
            Ok(data) => (data, Ok(())),
            Err(error) => (None, Err(error)),
        };
        self.0 = Some(Voyage {
            connection: connection.clone(),
            request,
            buffer,
            data,
            header: [0; OUT_HEADER],
        });
        held
    }

    /// The request could not be sent now.
    pub(super) fn put_back(&mut self) {
        let Some(Voyage {
            connection,
            request,
            buffer,
            data,
            ..
        }) = self.0.take()
        else {
            return;
        };
        drop(data);
        let carried = Carried { buffer, data: None };
        connection.return_carried(request, carried);
    }

    /// The device has given it back, having written so many bytes.
    pub(super) fn land(&mut self, written: Option<usize>) {
        let Some(voyage) = &self.0 else {
            return;
        };
        match voyage.judge(written) {
            Ok(Verdict::Reply(len)) => self.end(Ok(len)),
            Ok(Verdict::Error(error)) => self.end(Err(Error::from_errno(-error.get()))),
            Err(Bad) => {
                warn_ratelimited!(
                    "bad reply of a virtio-fs device to {}\n",
                    voyage.request.opcode.name()
                );
                self.end(Err(EIO));
            }
        }
    }

    /// The device was reset.
    pub(super) fn lose(&mut self) {
        let ended = self
            .0
            .as_ref()
            .is_some_and(|voyage| voyage.connection.has_ended());
        self.end(Err(if ended { ECONNABORTED } else { ENOTCONN }));
    }

    /// The request is over: with a reply of so many bytes, or without.
    pub(super) fn end(&mut self, answer: Result<usize>) {
        let Some(Voyage {
            connection,
            request,
            mut buffer,
            data,
            ..
        }) = self.0.take()
        else {
            return;
        };
        // Whoever waits for the request may want the pages.
        drop(data);
        let answer = answer.map(|len| {
            if let ReplyBuffer::Folios(run) = &mut buffer {
                run.set_filled(len);
            }
            Reply { buffer, len }
        });
        connection.carried_back(&request, answer);
    }
}

impl Voyage {
    fn describe<'a>(&'a mut self, table: &mut Table<'a>) -> Result {
        table.read_bytes(self.request.message())?;
        match &self.data {
            Some(Held::Own(data)) => table.read_data(data)?,
            Some(Held::Callers(pages)) => table.read_user_pages(pages)?,
            Some(Held::Lent(folios)) => table.read_folios(folios)?,
            None => {}
        }
        let shape = self.request.shape;
        if shape == ReplyShape::NoReply {
            return Ok(());
        }
        let in_a_row = ..OUT_HEADER.saturating_add(shape.capacity());
        match &mut self.buffer {
            ReplyBuffer::Short(bytes) => table.write_bytes(bytes.get_mut(in_a_row).ok_or(EINVAL)?),
            ReplyBuffer::Small(bytes) => table.write_bytes(bytes.get_mut(in_a_row).ok_or(EINVAL)?),
            ReplyBuffer::Bytes(bytes) => {
                table.write_bytes(&mut self.header)?;
                table.write_bytes(bytes)
            }
            ReplyBuffer::Folios(run) => {
                table.write_bytes(&mut self.header)?;
                table.write_run(run)
            }
            ReplyBuffer::Callers(pages) => {
                table.write_bytes(&mut self.header)?;
                table.write_user_pages(pages)
            }
        }
    }

    fn judge(&self, written: Option<usize>) -> Result<Verdict, Bad> {
        let written = written.ok_or(Bad)?;
        let shape = self.request.shape;
        let opcode = self.request.opcode;
        // virtiofsd does not answer DESTROY.
        if shape == ReplyShape::NoReply || opcode == Opcode::Destroy && written == 0 {
            return Ok(Verdict::Reply(0));
        }
        let header = self.buffer.header().unwrap_or(&self.header);
        let header: OutHeader = Reader::new(header).take().map_err(|_| Bad)?;
        let body = written.checked_sub(OUT_HEADER).ok_or(Bad)?;
        if header.len as usize != written || header.unique != self.request.unique.get() {
            return Err(Bad);
        }
        match ServerErrno::parse(header.error).map_err(|_| Bad)? {
            Some(error) if body == 0 => Ok(Verdict::Error(error)),
            None if shape.allows(body) => Ok(Verdict::Reply(body)),
            _ => Err(Bad),
        }
    }
}

/// What a device has answered.
enum Verdict {
    /// So many bytes of body.
    Reply(usize),
    Error(ServerErrno),
}

/// Nothing that a device may answer.
struct Bad;

/// Bytes of a letter.
const LETTER: usize = 4096;

/// A message that gives lookups back.
pub(crate) struct Letter {
    bytes: KVec<u8>,
    len: usize,
}

impl Letter {
    /// An empty one.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            bytes: KVec::from_elem(0, LETTER, GFP_KERNEL)?,
            len: 0,
        })
    }

    /// Whether nothing is written on it.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// It has been read.
    pub(super) fn erase(&mut self) {
        self.len = 0;
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// How many nodes can be written to it at a time.
    pub(super) fn room(&self, connection: &Connection) -> usize {
        let batches = connection
            .terms()
            .is_some_and(|terms| terms.minor >= forget::BATCH_FORGET_MINOR);
        if batches {
            LETTER.saturating_sub(forget::BATCH_FORGET_HEAD) / forget::BATCH_FORGET_ENTRY
        } else {
            1
        }
    }

    /// Writes it, if there are nodes. There are not more than there is room for.
    pub(super) fn write(
        &mut self,
        connection: &Connection,
        mut nodes: Queue<ServerNode>,
    ) -> Result {
        if nodes.is_empty() {
            return Ok(());
        }
        let unique = connection.message_unique();
        let mut writer = Writer::new(&mut self.bytes);
        let count = u32::try_from(nodes.len())?;
        let written = if count == 1 {
            let one = nodes.pop_front().ok_or(EINVAL)?.forget();
            forget::write_forget(&mut writer, unique, one)
        } else {
            forget::write_batch_head(&mut writer, unique, count).and_then(|()| {
                while let Some(node) = nodes.pop_front() {
                    forget::write_batch_entry(&mut writer, node.forget())?;
                }
                Ok(())
            })
        };
        written.map_err(|_| EINVAL)?;
        self.len = writer.written();
        Ok(())
    }
}

/// A message that a request was interrupted.
pub(crate) struct Interrupt {
    message: [u8; forget::INTERRUPT_MESSAGE],
    /// Devices do not have to answer.
    reply: [u8; OUT_HEADER],
    about: Arc<Request>,
}

impl Interrupt {
    /// About `request`.
    pub(super) fn new(request: &Arc<Request>) -> Result<Self> {
        let mut message = [0; forget::INTERRUPT_MESSAGE];
        forget::write_interrupt(&mut Writer::new(&mut message), request.id_there())
            .map_err(|_| EINVAL)?;
        Ok(Self {
            message,
            reply: [0; OUT_HEADER],
            about: request.clone(),
        })
    }

    /// The device has given it back, having written so many bytes.
    pub(super) fn land(&self, connection: &Connection, written: Option<usize>) {
        let Ok(header) = Reader::new(&self.reply).take::<OutHeader>() else {
            return;
        };
        if written != Some(OUT_HEADER) || header.unique != self.about.id_there().interrupt().get() {
            return;
        }
        let error = ServerErrno::parse(header.error).ok().flatten();
        match error.map(|error| Error::from_errno(-error.get())) {
            Some(ENOSYS) => connection.set_lacks(Opcode::Interrupt),
            // The device has not seen the request yet: try again.
            Some(EAGAIN) => connection.queue_interrupt(&self.about),
            _ => {}
        }
    }
}
