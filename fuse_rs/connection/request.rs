// SPDX-License-Identifier: GPL-2.0

//! Requests.
//!
//! A request is `Queued → Sent → Receiving → Finished`. The buffer for the reply moves along with
//! the stage, so that at any time exactly one party can write to it: nobody while it lies in the
//! request, the transport while it receives, whoever wanted the answer afterwards. Ending a
//! request early therefore needs no care for copies in progress: the copier owns what it fills.

use super::lock::LateLock;
use super::node::NodeMemory;
use super::node::NodePin;
use super::opened::ServerOpen;
use super::opened::Ticket;
use super::payload::Payload;
use super::reply::Reply;
use super::reply::ReplyBuffer;
use super::Connection;
use crate::prelude::*;
use core::mem::MaybeUninit;
use fuse_pure::abi::cursor::Overflow;
use fuse_pure::abi::cursor::Writer;
use fuse_pure::abi::header::IN_HEADER;
use fuse_pure::abi::ids::Opcode;
use fuse_pure::abi::ids::Unique;
use fuse_pure::op::ReplyShape;
use kernel::sync::UniqueArc;
use kernel_glue::list::impl_linked;
use kernel_glue::list::Link;
use kernel_glue::sync::wait::WaitQueue;
use kernel_glue::sys::monotonic_nanos;

/// Bytes of header and body of most requests.
const SHORT: usize = 128;

/// Header and body of a request.
enum Message {
    /// Few bytes, with their number.
    Short([u8; SHORT], usize),
    Long(KVec<u8>),
}

impl Message {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(bytes, len) => bytes.get(..*len).unwrap_or(&[]),
            Self::Long(bytes) => bytes,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Short(bytes, len) => bytes.get_mut(..*len).unwrap_or(&mut []),
            Self::Long(bytes) => bytes,
        }
    }
}

/// What is done with an answer nobody waits for.
pub(crate) trait Completion: Send {
    /// Takes the answer. Called once, in process context, without locks; may sleep, but must not
    /// wait for the server.
    fn complete(&mut self, connection: &Arc<Connection>, answer: Result<Reply>);
}

/// What is to be given back to the server when its answer comes too late to be used. Small, since it
/// is moved often.
#[derive(Default)]
pub(crate) struct GiveBack {
    /// The reply counts a lookup.
    pub(crate) lookup: Option<NodeMemory>,
    /// The reply opens a file, of the ticket's node or of the one in the reply.
    pub(crate) open: Option<Ticket>,
    /// The reply counts a lookup for each entry of a directory.
    pub(crate) entries: bool,
    /// The reply grants a lock.
    pub(crate) lock: Option<KBox<LateLock>>,
}

/// What a request names, kept until the server can no longer be working on it.
#[derive(Default)]
#[expect(dead_code, reason = "held, and dropped when the time has come")]
pub(crate) struct Kept {
    /// Nodes.
    pub(super) nodes: [Option<NodePin>; 2],
    /// Open files.
    pub(super) opens: [Option<Arc<ServerOpen>>; 2],
}

/// Who wants the answer.
enum Owner {
    /// Somebody who sleeps on the request.
    Waiter,
    /// Nobody sleeps.
    Completion(KBox<dyn Completion>),
    /// Nobody any more.
    Abandoned,
}

enum Stage {
    /// On its way to the server.
    Queued(ReplyBuffer),
    /// With the server.
    Sent(ReplyBuffer),
    /// With a carrier, which has the buffer.
    Carried,
    /// The reply is being copied; the buffer is with who copies.
    Receiving,
    /// Answered; the waiter has not fetched it yet.
    Answered(Result<Reply>),
    /// Over.
    Finished,
}

pub(super) struct State {
    stage: Stage,
    owner: Owner,
    device: u64,
    interrupted: bool,
    give_back: GiveBack,
    kept: Kept,
    data: Option<Payload>,
}

/// What a device file gets of a request it takes.
pub(crate) struct Taken {
    /// An interrupt is due.
    pub(crate) interrupted: bool,
    /// Data that follows the message.
    pub(crate) data: Option<Payload>,
}

/// What a carrier gets of a request it takes along.
pub(crate) struct Carried {
    /// Where the reply goes.
    pub(crate) buffer: ReplyBuffer,
    /// Data that follows the message.
    pub(crate) data: Option<Payload>,
}

/// A request and the place for its reply.
#[pin_data]
pub(crate) struct Request {
    link: Link<Self, 0>,
    interrupt_link: Link<Self, 1>,
    /// Names the request.
    pub(crate) unique: Unique,
    /// What it asks for.
    pub(crate) opcode: Opcode,
    /// What a reply may look like.
    pub(crate) shape: ReplyShape,
    /// When it was made, see [`monotonic_nanos`].
    pub(super) made: u64,
    message: Message,
    /// Bytes of data that follow.
    data_len: usize,
    /// It was with the server once, and is sent again.
    resent: Atomic<bool>,
    /// It holds a place among the background requests.
    place: Atomic<bool>,
    /// The waiter can fetch the answer.
    answered: Atomic<bool>,
    #[pin]
    state: SpinLock<State>,
    #[pin]
    wait: WaitQueue,
}

impl_linked!(Request, 0: link);
impl_linked!(Request, 1: interrupt_link);

/// Memory for a request.
pub(crate) struct RequestMemory {
    request: UniqueArc<MaybeUninit<Request>>,
    /// For a message that is not short.
    long: KVec<u8>,
}

impl RequestMemory {
    /// For a header and a body of type `T`.
    pub(crate) fn for_body<T>() -> Result<Self> {
        Self::new(IN_HEADER.saturating_add(core::mem::size_of::<T>()))
    }

    /// For a message of `len` bytes, beside data.
    pub(super) fn new(len: usize) -> Result<Self> {
        let long = if len <= SHORT { 0 } else { len };
        Ok(Self {
            request: UniqueArc::new_uninit(GFP_KERNEL)?,
            long: KVec::with_capacity(long, GFP_KERNEL)?,
        })
    }
}

/// The parts of a new request.
pub(super) struct Parts {
    pub(super) unique: Unique,
    pub(super) opcode: Opcode,
    pub(super) shape: ReplyShape,
    pub(super) data: Option<Payload>,
    pub(super) buffer: ReplyBuffer,
    pub(super) completion: Option<KBox<dyn Completion>>,
    pub(super) give_back: GiveBack,
    pub(super) kept: Kept,
}

/// What follows from an answer.
pub(super) enum Finish {
    /// Somebody was woken.
    Woken,
    /// This is to be run.
    Run(KBox<dyn Completion>, Result<Reply>),
    /// Nobody wants it: give back what it holds.
    GiveBack(GiveBack, Result<Reply>),
    /// It was over already.
    Late,
}

impl Request {
    /// A request with this header and body; `fill` writes them into zeroed bytes.
    pub(super) fn new(
        parts: Parts,
        len: usize,
        memory: RequestMemory,
        fill: impl FnOnce(&mut Writer<'_>) -> Result<(), Overflow>,
    ) -> Result<Arc<Self>> {
        let mut request = Self::place(parts, len, memory)?;
        fill(&mut Writer::new(
            request.as_mut().project().message.bytes_mut(),
        ))
        .map_err(|_| EIO)?;
        Ok(request.into())
    }

    /// A request with `len` zeroes as header and body. It is made where it stays, since it is
    /// large.
    fn place(parts: Parts, len: usize, memory: RequestMemory) -> Result<Pin<UniqueArc<Self>>> {
        let RequestMemory { request, mut long } = memory;
        if len > SHORT {
            long.resize(len, 0, GFP_KERNEL)?;
        }
        let Parts {
            unique,
            opcode,
            shape,
            data,
            buffer,
            completion,
            give_back,
            kept,
        } = parts;
        let data_len = data.as_ref().map_or(0, Payload::len);
        let state = init!(State {
            stage: Stage::Queued(buffer),
            owner: completion.map_or(Owner::Waiter, Owner::Completion),
            device: 0,
            interrupted: false,
            give_back,
            kept,
            data,
        });
        let placed = request.pin_init_with(pin_init!(Self {
            link: Link::new(),
            interrupt_link: Link::new(),
            unique,
            opcode,
            shape,
            made: monotonic_nanos(),
            message: if len <= SHORT {
                Message::Short([0; SHORT], len)
            } else {
                Message::Long(long)
            },
            data_len,
            resent: Atomic::new(false),
            place: Atomic::new(false),
            answered: Atomic::new(false),
            state <- new_spinlock!(state, "fuse_rs::Request::state"),
            wait <- new_wait_queue!("fuse_rs::Request::wait"),
        }));
        match placed {
            Ok(request) => Ok(request),
            Err(never) => match never {},
        }
    }

    /// The request has got a place among the background requests.
    pub(super) fn take_place(&self) {
        self.place.store(true, Relaxed);
    }

    /// Gives the place back; whether there was one.
    pub(super) fn give_place_back(&self) -> bool {
        self.place.xchg(false, Relaxed)
    }

    /// Header and body.
    pub(crate) fn message(&self) -> &[u8] {
        self.message.bytes()
    }

    /// Bytes of the whole message.
    pub(crate) fn message_len(&self) -> usize {
        self.message().len().saturating_add(self.data_len)
    }

    /// The device file `device` takes the request; nothing if the request is over.
    pub(crate) fn set_sent(&self, device: u64) -> Option<Taken> {
        let mut state = self.state.lock();
        match core::mem::replace(&mut state.stage, Stage::Finished) {
            Stage::Queued(buffer) => {
                state.stage = Stage::Sent(buffer);
                state.device = device;
                Some(Taken {
                    interrupted: state.interrupted,
                    data: state.data.clone(),
                })
            }
            other => {
                state.stage = other;
                None
            }
        }
    }

    /// A carrier takes the request along; nothing if the request is over.
    pub(super) fn set_carried(&self, device: u64) -> Option<Carried> {
        let mut state = self.state.lock();
        match core::mem::replace(&mut state.stage, Stage::Carried) {
            Stage::Queued(buffer) => {
                state.device = device;
                Some(Carried {
                    buffer,
                    data: state.data.clone(),
                })
            }
            other => {
                state.stage = other;
                None
            }
        }
    }

    /// The carrier does not take it along after all; false if the request is over.
    pub(super) fn set_not_carried(&self, carried: Carried) -> bool {
        let mut state = self.state.lock();
        let is_carried = matches!(state.stage, Stage::Carried);
        if is_carried {
            state.stage = Stage::Queued(carried.buffer);
        }
        is_carried
    }

    /// The request is to be sent again; false if it is not with the server.
    pub(super) fn set_unsent(&self) -> bool {
        let mut state = self.state.lock();
        match core::mem::replace(&mut state.stage, Stage::Finished) {
            Stage::Sent(buffer) => {
                state.stage = Stage::Queued(buffer);
                self.resent.store(true, Relaxed);
                true
            }
            other => {
                state.stage = other;
                false
            }
        }
    }

    /// Whether the server has had the request before.
    pub(crate) fn is_resent(&self) -> bool {
        self.resent.load(Relaxed)
    }

    /// The id by which the server knows the request.
    pub(crate) fn id_there(&self) -> Unique {
        if self.is_resent() {
            self.unique.resent()
        } else {
            self.unique
        }
    }

    /// Whether the request is with the device file `device`.
    pub(super) fn is_with(&self, device: u64) -> bool {
        self.state.lock().device == device
    }

    /// The reply has come: hands the buffer out.
    pub(crate) fn start_receiving(&self) -> Option<ReplyBuffer> {
        let mut state = self.state.lock();
        match core::mem::replace(&mut state.stage, Stage::Receiving) {
            Stage::Sent(buffer) => Some(buffer),
            other => {
                state.stage = other;
                None
            }
        }
    }

    /// The reply could not be received now: takes the buffer back.
    pub(crate) fn stop_receiving(&self, buffer: ReplyBuffer) {
        let mut state = self.state.lock();
        if matches!(state.stage, Stage::Receiving) {
            state.stage = Stage::Sent(buffer);
        } else {
            drop(state);
            drop(buffer);
        }
    }

    /// Records the answer. What the request has kept is returned, to be dropped last.
    pub(super) fn set_answer(
        &self,
        connection: &Connection,
        answer: Result<Reply>,
    ) -> (Finish, Kept) {
        let mut state = self.state.lock();
        if matches!(state.stage, Stage::Answered(_) | Stage::Finished) {
            return (Finish::Late, Kept::default());
        }
        let is_answered = matches!(state.stage, Stage::Receiving | Stage::Carried);
        self.trace_end(connection, is_answered, &answer);
        let kept = core::mem::take(&mut state.kept);
        let give_back = core::mem::take(&mut state.give_back);
        let mut data = state.data.take();
        // The buffer of a request that ends without a reply goes with the stage.
        let (unused, finish) = match core::mem::replace(&mut state.owner, Owner::Abandoned) {
            Owner::Waiter => {
                state.owner = Owner::Waiter;
                state.give_back = give_back;
                // Before the waiter sees the answer: then it may have the only reference. It has
                // one, so nothing is freed here.
                data = None;
                let answered = Stage::Answered(answer);
                (
                    core::mem::replace(&mut state.stage, answered),
                    Finish::Woken,
                )
            }
            Owner::Completion(completion) => (
                core::mem::replace(&mut state.stage, Stage::Finished),
                Finish::Run(completion, answer),
            ),
            Owner::Abandoned => (
                core::mem::replace(&mut state.stage, Stage::Finished),
                Finish::GiveBack(give_back, answer),
            ),
        };
        drop(state);
        drop(unused);
        drop(data);
        if matches!(finish, Finish::Woken) {
            self.answered.store(true, Release);
            self.wait.wake_all();
        }
        (finish, kept)
    }

    /// Sleeps until the answer is there or a signal comes.
    pub(super) fn wait(&self, signals: Signals) -> Result {
        self.wait
            .wait(signals, Wake::Shared, || self.answered.load(Acquire))
    }

    /// Marks the request as interrupted; returns whether the server has it.
    pub(super) fn set_interrupted(&self) -> bool {
        let mut state = self.state.lock();
        state.interrupted = true;
        matches!(state.stage, Stage::Sent(_) | Stage::Carried)
    }

    /// Whether the server has the request and has not answered yet.
    pub(super) fn is_sent(&self) -> bool {
        matches!(self.state.lock().stage, Stage::Sent(_) | Stage::Carried)
    }

    /// Fetches the answer and what it may hold of the server's.
    pub(super) fn take_answer(&self) -> Option<(Result<Reply>, GiveBack)> {
        let mut state = self.state.lock();
        match core::mem::replace(&mut state.stage, Stage::Finished) {
            Stage::Answered(answer) => {
                let give_back = core::mem::take(&mut state.give_back);
                Some((answer, give_back))
            }
            other => {
                state.stage = other;
                None
            }
        }
    }

    /// The waiter goes away, and leaves behind what must be kept until the server has answered.
    /// An answer that came at the same moment is returned.
    pub(super) fn abandon(&self, kept: Kept) -> Option<(Result<Reply>, GiveBack)> {
        {
            let mut state = self.state.lock();
            if !matches!(state.stage, Stage::Answered(_)) {
                state.owner = Owner::Abandoned;
                state.kept = kept;
                return None;
            }
        }
        self.take_answer()
    }
}
