// SPDX-License-Identifier: GPL-2.0

//! Making requests and waiting for them.

use super::node::ServerNode;
use super::opened::ServerOpen;
use super::payload::Payload;
use super::reply::Reply;
use super::reply::ReplyBuffer;
use super::request::GiveBack;
use super::request::Kept;
use super::request::Parts;
use super::request::Request;
use super::request::RequestMemory;
use super::Connection;
use crate::prelude::*;
use fuse_pure::abi::header::InHeader;
use fuse_pure::abi::header::IN_HEADER;
use fuse_pure::abi::ids::Opcode;
use fuse_pure::abi::init::InitFlags;
use fuse_pure::op::extension::Extensions;
use fuse_pure::op::extension::UNIT;
use fuse_pure::op::Operation;

/// What is told instead of an id that depends on the mount that is used.
const NO_ID: u32 = u32::MAX;

/// On whose behalf a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The caller's, unless ids depend on the mount that is used.
    Caller,
    /// That of whom an inode is to belong to: user and group, as far as the server knows them.
    Owner(Option<u32>, Option<u32>),
    /// The caller's, or that of the unknown user and group: what has to be done does not depend
    /// on who asks for it.
    AnyCaller,
    /// Nobody's in particular.
    Kernel,
}

/// What a request is about, and on whose behalf it is made.
#[derive(Clone, Copy)]
pub(crate) struct Envelope<'a> {
    /// The node in the header; none for requests about no node.
    node: Option<&'a Arc<ServerNode>>,
    /// Another node that is named.
    also: Option<&'a Arc<ServerNode>>,
    /// An open file that is named.
    open: Option<&'a Arc<ServerOpen>>,
    /// Another open file that is named.
    also_open: Option<&'a Arc<ServerOpen>>,
    /// What is said behind the body.
    extensions: Extensions<'a>,
    identity: Identity,
}

impl<'a> Envelope<'a> {
    /// About no node.
    pub(crate) fn about_nothing() -> Self {
        Self {
            node: None,
            also: None,
            open: None,
            also_open: None,
            extensions: Extensions::default(),
            identity: Identity::Kernel,
        }
    }

    /// About `node`, by the caller.
    pub(crate) fn by_caller(node: &'a Arc<ServerNode>) -> Self {
        Self {
            node: Some(node),
            identity: Identity::Caller,
            ..Self::about_nothing()
        }
    }

    /// About `node`, by the caller, even if the server cannot be told who that is.
    pub(crate) fn by_any_caller(node: &'a Arc<ServerNode>) -> Self {
        Self {
            identity: Identity::AnyCaller,
            ..Self::by_caller(node)
        }
    }

    /// Makes an inode that is to belong to this user and this group.
    pub(crate) fn for_owner(self, uid: Option<u32>, gid: Option<u32>) -> Self {
        Self {
            identity: Identity::Owner(uid, gid),
            ..self
        }
    }

    /// About `node`, by the kernel.
    pub(crate) fn by_kernel(node: &'a Arc<ServerNode>) -> Self {
        Self {
            node: Some(node),
            ..Self::about_nothing()
        }
    }

    /// The body names `node`, too.
    pub(crate) fn and(self, node: &'a Arc<ServerNode>) -> Self {
        Self {
            also: Some(node),
            ..self
        }
    }

    /// The body names an open file, if there is one.
    pub(crate) fn with(self, open: Option<&'a Arc<ServerOpen>>) -> Self {
        Self { open, ..self }
    }

    /// The body names another open file, if there is one.
    pub(crate) fn and_with(self, also_open: Option<&'a Arc<ServerOpen>>) -> Self {
        Self { also_open, ..self }
    }

    /// This is said behind the body.
    pub(crate) fn extended(self, extensions: Extensions<'a>) -> Self {
        Self { extensions, ..self }
    }

    /// Keeps all that is named.
    pub(super) fn keep(&self, connection: &Arc<Connection>) -> Kept {
        let pin = |node: Option<&'a Arc<ServerNode>>| node.map(|node| node.pin(connection));
        Kept {
            nodes: [pin(self.node), pin(self.also)],
            opens: [self.open.cloned(), self.also_open.cloned()],
        }
    }
}

/// What a request brings along beside its body.
#[derive(Default)]
pub(super) struct Freight {
    /// Data that follows.
    data: Option<Payload>,
    /// Where the reply goes; if that is nothing, into a buffer for its shape.
    buffer: Option<ReplyBuffer>,
}

impl Freight {
    fn data(data: Payload) -> Self {
        Self {
            data: Some(data),
            buffer: None,
        }
    }
}

impl Connection {
    /// A request, which is to be passed to [`Connection::finish`] in any case.
    pub(super) fn new_request<O: Operation>(
        &self,
        op: &O,
        envelope: Envelope<'_>,
        parts: Parts,
        memory: Option<RequestMemory>,
    ) -> Result<Arc<Request>> {
        let data_len = parts.data.as_ref().map_or(0, Payload::len);
        let extensions = envelope.extensions;
        let len = IN_HEADER
            .checked_add(op.body_len())
            .and_then(|len| len.checked_add(extensions.len()))
            .ok_or(EINVAL)?;
        let total = len.checked_add(data_len).ok_or(EINVAL)?;
        let (uid, gid, pid) = match envelope.identity {
            Identity::Owner(uid, gid) => (
                uid.ok_or(EOVERFLOW)?,
                gid.ok_or(EOVERFLOW)?,
                self.process_ns.caller_pid(),
            ),
            Identity::Caller | Identity::AnyCaller if self.has(InitFlags::ALLOW_IDMAP) => {
                (NO_ID, NO_ID, self.process_ns.caller_pid())
            }
            // Else the server could not tell who asks.
            Identity::Caller => (
                self.user_ns.caller_uid().ok_or(EOVERFLOW)?,
                self.user_ns.caller_gid().ok_or(EOVERFLOW)?,
                self.process_ns.caller_pid(),
            ),
            Identity::AnyCaller => (
                self.user_ns.caller_uid_or_unknown(),
                self.user_ns.caller_gid_or_unknown(),
                self.process_ns.caller_pid(),
            ),
            // Nobody asks, but the process is known all the same.
            Identity::Kernel => (0, 0, self.process_ns.caller_pid()),
        };
        let header = InHeader {
            len: u32::try_from(total).map_err(|_| EINVAL)?,
            opcode: O::OPCODE.get(),
            unique: parts.unique.get(),
            nodeid: envelope.node.map_or(0, |node| node.id().get()),
            uid,
            gid,
            pid,
            total_extlen: u16::try_from(extensions.len() / UNIT).map_err(|_| E2BIG)?,
            padding: 0,
        };
        let memory = match memory {
            Some(memory) => memory,
            None => RequestMemory::new(len)?,
        };
        let request = Request::new(parts, len, memory, |writer| {
            writer.put(&header)?;
            op.fill(writer)?;
            extensions.fill(writer)
        })?;
        self.waiting.fetch_add(1, Relaxed);
        Ok(request)
    }

    /// Makes a request and waits for the answer.
    pub(super) fn call_raw<O: Operation>(
        self: &Arc<Self>,
        op: &O,
        envelope: Envelope<'_>,
        freight: Freight,
        give_back: GiveBack,
    ) -> Result<(Reply, GiveBack)> {
        self.wait_ready()?;
        if self.lacks(O::OPCODE) {
            return Err(ENOSYS);
        }
        let unique = self.unique();
        let shape = op.shape();
        let parts = Parts {
            unique,
            opcode: O::OPCODE,
            shape,
            data: freight.data,
            buffer: match freight.buffer {
                Some(buffer) => buffer,
                None => ReplyBuffer::for_shape(shape)?,
            },
            completion: None,
            give_back,
            kept: Kept::default(),
        };
        let request = self.new_request(op, envelope, parts, None)?;
        let answer = self.send_and_wait(request, envelope);
        if let Err(error) = &answer {
            if *error == ENOSYS {
                self.set_lacks(O::OPCODE);
            }
        }
        answer
    }

    /// Queues a request and sleeps until it is answered.
    ///
    /// A signal is passed on to the server, which may cut its work short; a signal that kills the
    /// caller ends the wait, and the late answer is cleaned up after by whoever receives it.
    fn send_and_wait(
        self: &Arc<Self>,
        request: Arc<Request>,
        envelope: Envelope<'_>,
    ) -> Result<(Reply, GiveBack)> {
        match self.wait_for(&request, envelope)? {
            (Ok(reply), give_back) => Ok((reply, give_back)),
            (Err(error), _) => Err(error),
        }
    }

    fn wait_for(
        self: &Arc<Self>,
        request: &Arc<Request>,
        envelope: Envelope<'_>,
    ) -> Result<(Result<Reply>, GiveBack)> {
        self.submit_before_sleep(request);
        if request.wait(Signals::Interruptible).is_err() {
            if !self.lacks(Opcode::Interrupt) && request.set_interrupted() {
                self.queue_interrupt(request);
            }
            if request.wait(Signals::Killable).is_err() {
                if self.take_back(request) {
                    self.finish(request, Err(EINTR));
                }
                if let Some(answer) = request.abandon(envelope.keep(self)) {
                    return Ok(answer);
                }
                return Err(EINTR);
            }
        }
        request.take_answer().ok_or(EIO)
    }

    /// Makes a request and waits for the answer.
    pub(crate) fn call<O: Operation>(
        self: &Arc<Self>,
        op: &O,
        envelope: Envelope<'_>,
    ) -> Result<O::Reply> {
        let (reply, _) = self.call_raw(op, envelope, Freight::default(), GiveBack::default())?;
        op.parse(reply.body()).map_err(|_| bad_reply(O::OPCODE))
    }

    /// As [`Connection::call`], and returns the body of the reply too.
    pub(crate) fn call_for_bytes<O: Operation>(
        self: &Arc<Self>,
        op: &O,
        envelope: Envelope<'_>,
    ) -> Result<(O::Reply, Reply)> {
        let (reply, _) = self.call_raw(op, envelope, Freight::default(), GiveBack::default())?;
        let parsed = op.parse(reply.body()).map_err(|_| bad_reply(O::OPCODE))?;
        Ok((parsed, reply))
    }

    /// As [`Connection::call`], with a reply that goes into `buffer`; returns how many bytes it has.
    pub(crate) fn call_into<O: Operation>(
        self: &Arc<Self>,
        op: &O,
        envelope: Envelope<'_>,
        buffer: ReplyBuffer,
    ) -> Result<usize> {
        let freight = Freight {
            data: None,
            buffer: Some(buffer),
        };
        let (reply, _) = self.call_raw(op, envelope, freight, GiveBack::default())?;
        Ok(reply.len)
    }

    /// As [`Connection::call`], with data behind the body.
    pub(crate) fn call_with_data<O: Operation>(
        self: &Arc<Self>,
        op: &O,
        envelope: Envelope<'_>,
        data: Payload,
    ) -> Result<O::Reply> {
        let (reply, _) = self.call_raw(op, envelope, Freight::data(data), GiveBack::default())?;
        op.parse(reply.body()).map_err(|_| bad_reply(O::OPCODE))
    }
}

/// A reply that no server may send.
#[cold]
pub(super) fn bad_reply(opcode: Opcode) -> Error {
    warn_ratelimited!("bad reply to {}\n", opcode.name());
    EIO
}
