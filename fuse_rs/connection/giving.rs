// SPDX-License-Identifier: GPL-2.0

//! Requests whose replies hold something of the server's, lookups and open files, and how that is
//! given back when nobody takes it.

use super::call::bad_reply;
use super::call::Envelope;
use super::call::Freight;
use super::node::NodeMemory;
use super::node::NodePin;
use super::node::ServerNode;
use super::opened::ServerOpen;
use super::opened::Ticket;
use super::reply::Reply;
use super::request::Finish;
use super::request::GiveBack;
use super::request::Request;
use super::Connection;
use crate::prelude::*;
use fuse_pure::abi::attr::EntryOut;
use fuse_pure::abi::cursor::Reader;
use fuse_pure::abi::flags::OpenFlags;
use fuse_pure::abi::ids::FileHandle;
use fuse_pure::abi::ids::NodeId;
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
use kernel::time::delay::fsleep;
use kernel::time::Delta;

/// How often to ask for memory again, and how long to wait before.
const MEMORY_TRIES: u32 = 100;
const MEMORY_PAUSE: Delta = Delta::from_millis(10);

impl Connection {
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
        let (reply, _) = self.call_raw(op, envelope, Freight::default(), give_back)?;
        Ok(reply)
    }

    /// The lookup that the server has counted for an entry of a directory. Waits for memory, since
    /// without it the lookup can never be given back.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, if there has been none for a second.
    pub(crate) fn looked_up_entry(self: &Arc<Self>, id: NodeId) -> Result<NodePin> {
        let mut memory = NodeMemory::new();
        for _ in 0..MEMORY_TRIES {
            if memory.is_ok() {
                break;
            }
            fsleep(MEMORY_PAUSE);
            memory = NodeMemory::new();
        }
        let memory = memory
            .inspect_err(|_| warn_ratelimited!("out of memory: a lookup is not given back\n"))?;
        Ok(NodePin::looked_up(self, id, memory))
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
            open: Some(Ticket::new(self, None, false, op.flags)?),
            ..GiveBack::default()
        };
        let ((entry, opened), give_back) = self.call_giving(op, envelope, give_back)?;
        let memory = give_back.lookup.ok_or(EIO)?;
        let mut ticket = give_back.open.ok_or(EIO)?;
        let lookup = NodePin::looked_up(self, entry.node, memory);
        ticket.set_node(lookup.node().pin(self));
        Ok((entry, lookup, ticket.redeem(opened.fh), opened.flags))
    }

    /// Opens `node`.
    pub(crate) fn call_open<T: Target>(
        self: &Arc<Self>,
        op: &Open<T>,
        node: &Arc<ServerNode>,
    ) -> Result<(Arc<ServerOpen>, OpenFlags)> {
        let pin = Some(node.pin(self));
        let give_back = GiveBack {
            open: Some(Ticket::new(self, pin, T::IS_DIRECTORY, op.flags)?),
            ..GiveBack::default()
        };
        let (opened, give_back) = self.call_giving(op, Envelope::by_caller(node), give_back)?;
        let ticket = give_back.open.ok_or(EIO)?;
        Ok((ticket.redeem(opened.fh), opened.flags))
    }

    /// A request whose reply holds something of the server's.
    pub(super) fn call_giving<O: Operation>(
        self: &Arc<Self>,
        op: &O,
        envelope: Envelope<'_>,
        give_back: GiveBack,
    ) -> Result<(O::Reply, GiveBack)> {
        let (reply, give_back) = self.call_raw(op, envelope, Freight::default(), give_back)?;
        match op.parse(reply.body()) {
            Ok(parsed) => Ok((parsed, give_back)),
            Err(_) => {
                self.give_back(give_back, Ok(reply));
                Err(bad_reply(O::OPCODE))
            }
        }
    }

    /// A request has its answer, or will never have one.
    pub(crate) fn finish(self: &Arc<Self>, request: &Arc<Request>, answer: Result<Reply>) {
        self.drop_interrupt(request);
        let (finish, kept) = request.set_answer(self, answer);
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
        if let Some(lock) = give_back.lock {
            lock.give_back(self);
        }
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
        let Some(mut ticket) = give_back.open else {
            return;
        };
        let mut reader = Reader::new(body);
        if !ticket.has_node() {
            // It lies behind the entry of the node.
            let (Ok(_), Some(node)) = (reader.take::<EntryOut>(), looked_up) else {
                return;
            };
            ticket.set_node(node);
        }
        if let Ok(out) = reader.take::<OpenOut>() {
            drop(ticket.redeem(FileHandle(out.fh)));
        }
    }
}
