// SPDX-License-Identifier: GPL-2.0

//! Making requests and waiting for them.

use super::node::NodeMemory;
use super::node::NodePin;
use super::node::ServerNode;
use super::opened::ServerOpen;
use super::opened::Ticket;
use super::request::Completion;
use super::request::Finish;
use super::request::GiveBack;
use super::request::Kept;
use super::request::Parts;
use super::request::Reply;
use super::request::ReplyBuffer;
use super::request::Request;
use super::request::RequestMemory;
use super::Connection;
use crate::prelude::*;
use fuse_pure::abi::attr::EntryOut;
use fuse_pure::abi::cursor::Reader;
use fuse_pure::abi::flags::OpenFlags;
use fuse_pure::abi::header::InHeader;
use fuse_pure::abi::header::IN_HEADER;
use fuse_pure::abi::ids::FileHandle;
use fuse_pure::abi::ids::NodeId;
use fuse_pure::abi::ids::Opcode;
use fuse_pure::abi::open::OpenOut;
use fuse_pure::logic::dirents::PlusEntries;
use fuse_pure::op::create::Create;
use fuse_pure::op::create::Creation;
use fuse_pure::op::entry::looked_up_node;
use fuse_pure::op::entry::Entry;
use fuse_pure::op::open::Open;
use fuse_pure::op::open::Target;
use fuse_pure::op::rw::Readdir;
use fuse_pure::op::Operation;
use kernel_glue::mem::pages::PageData;

/// On whose behalf a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The caller's.
    Caller,
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

    /// Keeps all that is named.
    fn keep(&self, connection: &Arc<Connection>) -> Kept {
        let pin = |node: Option<&'a Arc<ServerNode>>| node.map(|node| node.pin(connection));
        Kept {
            nodes: [pin(self.node), pin(self.also)],
            opens: [self.open.cloned(), self.also_open.cloned()],
        }
    }
}

/// Whether somebody waits for the end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Nobody: it may have to wait its turn among others like it.
    Background,
    /// Somebody, elsewhere.
    Foreground,
}

/// A request that is not waited for where it is made.
pub(crate) struct Post {
    urgency: Urgency,
    data: Option<Arc<PageData>>,
    buffer: Option<ReplyBuffer>,
    completion: KBox<dyn Completion>,
}

impl Post {
    /// With a body only, and a reply of its shape.
    pub(crate) fn new(urgency: Urgency, completion: KBox<dyn Completion>) -> Self {
        Self {
            urgency,
            data: None,
            buffer: None,
            completion,
        }
    }

    /// The reply goes into `buffer`.
    pub(crate) fn into_buffer(self, buffer: ReplyBuffer) -> Self {
        Self {
            buffer: Some(buffer),
            ..self
        }
    }
}

/// A completion for requests whose answer does not matter.
pub(crate) struct Ignore;

impl Ignore {
    /// For a request in the background. Allocates nothing, so it does not fail.
    pub(crate) fn the_answer() -> Result<Post> {
        let done: KBox<dyn Completion> = KBox::new(Self, GFP_KERNEL)?;
        Ok(Post::new(Urgency::Background, done))
    }
}

impl Completion for Ignore {
    fn complete(&mut self, _: &Arc<Connection>, _: Result<Reply>) {}
}

impl Connection {
    /// A request, which is to be passed to [`Connection::finish`] in any case.
    fn new_request<O: Operation>(
        &self,
        op: &O,
        envelope: Envelope<'_>,
        parts: Parts,
        memory: Option<RequestMemory>,
    ) -> Result<Arc<Request>> {
        let data_len = parts.data.as_ref().map_or(0, |data| data.len());
        let len = IN_HEADER.checked_add(op.body_len()).ok_or(EINVAL)?;
        let total = len.checked_add(data_len).ok_or(EINVAL)?;
        let (uid, gid, pid) = match envelope.identity {
            Identity::Caller => (
                self.user_ns.caller_uid(),
                self.user_ns.caller_gid(),
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
        if uid == u32::MAX || gid == u32::MAX {
            // The server could not tell who asks.
            return Err(EOVERFLOW);
        }
        let header = InHeader {
            len: u32::try_from(total).map_err(|_| EINVAL)?,
            opcode: O::OPCODE.get(),
            unique: parts.unique.get(),
            nodeid: envelope.node.map_or(0, |node| node.id().get()),
            uid,
            gid,
            pid,
            total_extlen: 0,
            padding: 0,
        };
        let memory = match memory {
            Some(memory) => memory,
            None => RequestMemory::new(len)?,
        };
        let request = Request::new(parts, len, memory, |writer| {
            writer.put(&header)?;
            op.fill(writer)
        })?;
        self.waiting.fetch_add(1, Relaxed);
        Ok(request)
    }

    /// Makes a request and waits for the answer.
    fn call_raw<O: Operation>(
        self: &Arc<Self>,
        op: &O,
        envelope: Envelope<'_>,
        data: Option<Arc<PageData>>,
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
            data,
            buffer: ReplyBuffer::for_shape(shape)?,
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
        self.submit(request);
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
        let (reply, _) = self.call_raw(op, envelope, None, GiveBack::default())?;
        op.parse(reply.body()).map_err(|_| bad_reply(O::OPCODE))
    }

    /// As [`Connection::call`], and returns the body of the reply too.
    pub(crate) fn call_for_bytes<O: Operation>(
        self: &Arc<Self>,
        op: &O,
        envelope: Envelope<'_>,
    ) -> Result<(O::Reply, Reply)> {
        let (reply, _) = self.call_raw(op, envelope, None, GiveBack::default())?;
        let parsed = op.parse(reply.body()).map_err(|_| bad_reply(O::OPCODE))?;
        Ok((parsed, reply))
    }

    /// A READDIRPLUS; returns its body, whose lookups are the caller's to give back.
    pub(crate) fn call_readdirplus(
        self: &Arc<Self>,
        op: &Readdir<true>,
        envelope: Envelope<'_>,
    ) -> Result<Reply> {
        let give_back = GiveBack {
            entries: true,
            ..GiveBack::default()
        };
        let (reply, _) = self.call_raw(op, envelope, None, give_back)?;
        Ok(reply)
    }

    /// The lookup that the server has counted for an entry of a directory.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and the lookup is never given back.
    pub(crate) fn looked_up_entry(self: &Arc<Self>, id: NodeId) -> Result<NodePin> {
        let memory = NodeMemory::new()
            .inspect_err(|_| warn_ratelimited!("out of memory: a lookup is not given back\n"))?;
        Ok(NodePin::looked_up(self, id, memory))
    }

    /// As [`Connection::call`], with data behind the body.
    pub(crate) fn call_with_data<O: Operation>(
        self: &Arc<Self>,
        op: &O,
        envelope: Envelope<'_>,
        data: Arc<PageData>,
    ) -> Result<O::Reply> {
        let (reply, _) = self.call_raw(op, envelope, Some(data), GiveBack::default())?;
        op.parse(reply.body()).map_err(|_| bad_reply(O::OPCODE))
    }

    /// A request whose reply looks an inode up: `node_of` says which.
    pub(crate) fn call_entry<O: Operation>(
        self: &Arc<Self>,
        op: &O,
        envelope: Envelope<'_>,
        node_of: impl FnOnce(&O::Reply) -> Option<NodeId>,
    ) -> Result<(O::Reply, Option<NodePin>)> {
        let give_back = GiveBack {
            lookup: Some(NodeMemory::new()?),
            ..GiveBack::default()
        };
        let (parsed, give_back) = self.call_giving(op, envelope, give_back)?;
        let lookup = match (node_of(&parsed), give_back.lookup) {
            (Some(node), Some(memory)) => Some(NodePin::looked_up(self, node, memory)),
            _ => None,
        };
        Ok((parsed, lookup))
    }

    /// Makes a file and opens it.
    pub(crate) fn call_create<C: Creation>(
        self: &Arc<Self>,
        op: &Create<'_, C>,
        envelope: Envelope<'_>,
    ) -> Result<(Entry, NodePin, Arc<ServerOpen>, OpenFlags)> {
        let give_back = GiveBack {
            lookup: Some(NodeMemory::new()?),
            open: Some((None, Ticket::new(false, op.flags)?)),
            ..GiveBack::default()
        };
        let ((entry, opened), give_back) = self.call_giving(op, envelope, give_back)?;
        let memory = give_back.lookup.ok_or(EIO)?;
        let (_, ticket) = give_back.open.ok_or(EIO)?;
        let lookup = NodePin::looked_up(self, entry.node, memory);
        let open = ticket.redeem(self, lookup.node().pin(self), opened.fh);
        Ok((entry, lookup, open, opened.flags))
    }

    /// Opens `node`.
    pub(crate) fn call_open<T: Target>(
        self: &Arc<Self>,
        op: &Open<T>,
        node: &Arc<ServerNode>,
    ) -> Result<(Arc<ServerOpen>, OpenFlags)> {
        let ticket = Ticket::new(T::IS_DIRECTORY, op.flags)?;
        let give_back = GiveBack {
            open: Some((Some(node.pin(self)), ticket)),
            ..GiveBack::default()
        };
        let (opened, give_back) = self.call_giving(op, Envelope::by_caller(node), give_back)?;
        match give_back.open {
            Some((Some(node), ticket)) => Ok((ticket.redeem(self, node, opened.fh), opened.flags)),
            _ => Err(EIO),
        }
    }

    /// A request whose reply holds something of the server's.
    fn call_giving<O: Operation>(
        self: &Arc<Self>,
        op: &O,
        envelope: Envelope<'_>,
        give_back: GiveBack,
    ) -> Result<(O::Reply, GiveBack)> {
        let (reply, give_back) = self.call_raw(op, envelope, None, give_back)?;
        match op.parse(reply.body()) {
            Ok(parsed) => Ok((parsed, give_back)),
            Err(_) => {
                self.give_back(give_back, Ok(reply));
                Err(bad_reply(O::OPCODE))
            }
        }
    }

    /// Makes a request that is not waited for here.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, in which case `completion` has been dropped without being run. Later errors go
    /// to it.
    pub(crate) fn post<O: Operation>(
        self: &Arc<Self>,
        op: &O,
        envelope: Envelope<'_>,
        post: Post,
    ) -> Result {
        self.post_with(op, envelope, post, None)
    }

    /// As [`Connection::post`], in memory that is there already: for a body that fits it, by the
    /// kernel, this does not fail.
    pub(super) fn post_with<O: Operation>(
        self: &Arc<Self>,
        op: &O,
        envelope: Envelope<'_>,
        post: Post,
        memory: Option<RequestMemory>,
    ) -> Result {
        let Post {
            urgency,
            data,
            buffer,
            completion,
        } = post;
        let shape = op.shape();
        let parts = Parts {
            unique: self.unique(),
            opcode: O::OPCODE,
            shape,
            data,
            buffer: match buffer {
                Some(buffer) => buffer,
                None => ReplyBuffer::for_shape(shape)?,
            },
            completion: Some(completion),
            give_back: GiveBack::default(),
            kept: envelope.keep(self),
        };
        let request = self.new_request(op, envelope, parts, memory)?;
        match urgency {
            Urgency::Background => self.enqueue_background(request),
            Urgency::Foreground => self.submit(&request),
        }
        Ok(())
    }

    /// A request has its answer, or will never have one.
    pub(crate) fn finish(self: &Arc<Self>, request: &Arc<Request>, answer: Result<Reply>) {
        self.drop_interrupt(request);
        let (finish, kept) = request.set_answer(answer);
        if !matches!(finish, Finish::Late) {
            self.waiting.fetch_sub(1, Relaxed);
        }
        match finish {
            Finish::Woken | Finish::Late => {}
            Finish::Run(mut completion, answer) => {
                completion.complete(self, answer);
                if request.give_place_back() {
                    self.finish_background();
                }
            }
            Finish::GiveBack(give_back, answer) => self.give_back(give_back, answer),
        }
        // What follows from this is sent after what was sent with the request.
        drop(kept);
    }

    /// Gives back what a reply that nobody uses holds of the server's.
    fn give_back(self: &Arc<Self>, give_back: GiveBack, answer: Result<Reply>) {
        let Ok(reply) = answer else {
            return;
        };
        let body = reply.body();
        let looked_up = give_back.lookup.and_then(|memory| {
            let id = looked_up_node(body)?;
            Some(NodePin::looked_up(self, id, memory))
        });
        if give_back.entries {
            for id in PlusEntries::new(body)
                .map_while(Result::ok)
                .filter_map(|e| e.looked_up())
            {
                drop(self.looked_up_entry(id));
            }
        }
        let Some((node, ticket)) = give_back.open else {
            return;
        };
        let mut reader = Reader::new(body);
        let rest = if node.is_none() {
            // Behind the entry.
            reader.take::<EntryOut>().map(|_| ())
        } else {
            Ok(())
        };
        let out = rest.and_then(|()| reader.take::<OpenOut>());
        if let (Ok(out), Some(node)) = (out, node.or(looked_up)) {
            drop(ticket.redeem(self, node, FileHandle(out.fh)));
        }
    }
}

/// A reply that no server may send.
#[cold]
fn bad_reply(opcode: Opcode) -> Error {
    warn_ratelimited!("bad reply to {}\n", opcode.name());
    EIO
}
