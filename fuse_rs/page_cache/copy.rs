// SPDX-License-Identifier: GPL-2.0

//! Dirty pages on their way to the server, and their WRITEs.

use super::content::Content;
use super::in_flight::pages_of;
use super::over::Over;
use crate::connection::call::Envelope;
use crate::connection::opened::ServerOpen;
use crate::connection::payload::Held;
use crate::connection::payload::Payload;
use crate::connection::payload::Source;
use crate::connection::post::Post;
use crate::connection::post::Urgency;
use crate::connection::reply::Reply;
use crate::connection::reply::ReplyBuffer;
use crate::connection::request::Completion;
use crate::connection::request::RequestMemory;
use crate::connection::Connection;
use crate::filesystem::attributes;
use crate::filesystem::inode;
use crate::filesystem::late;
use crate::filesystem::late::Late;
use crate::filesystem::Inode;
use crate::prelude::*;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::ops::DerefMut;
use core::ops::Range;
use fuse_pure::abi::flags::WriteFlags;
use fuse_pure::abi::ids::FileHandle;
use fuse_pure::abi::open::WriteIn;
use fuse_pure::logic::interval_tree::Node;
use fuse_pure::op::rw::Write;
use fuse_pure::op::Operation;
use kernel::sync::aref::ARef;
use kernel::sync::UniqueArc;
use kernel_glue::list::impl_linked;
use kernel_glue::list::Link;
use kernel_glue::mem::pages::PageData;
use kernel_glue::mm::lent::LentFolios;
use kernel_glue::mm::writeback::DirtyFolio;
use kernel_glue::sys::monotonic_nanos;
use kernel_glue::uio::MessageSink;

/// Where a copy stands in the index.
pub(super) struct CopyNode(KBox<Node<Arc<PageCopy>, CopyNode>>);

impl Deref for CopyNode {
    type Target = Node<Arc<PageCopy>, Self>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for CopyNode {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// How the server gets the bytes of dirty folios.
pub(super) enum Way {
    /// They are lent to the WRITE.
    Lend,
    /// They are copied.
    Copy,
    /// This is a copy.
    Copied(PageData),
}

/// Bytes of dirty pages that the server is to store: a copy, or the pages as long as they are lent.
#[pin_data]
pub(super) struct PageCopy {
    link: Link<Self, 0>,
    lent_link: Link<Self, 1>,
    /// What of the file it holds.
    bytes: Range<u64>,
    /// When it was made, see [`monotonic_nanos`].
    made: u64,
    #[pin]
    content: Content,
    /// The WRITE, until it is sent.
    #[pin]
    parcel: SpinLock<Option<Parcel>>,
    sent: Atomic<bool>,
    #[pin]
    over: Over,
}

impl_linked!(PageCopy, 0: link);
impl_linked!(PageCopy, 1: lent_link);

/// All that a WRITE needs, so that sending it does not fail.
struct Parcel {
    open: Option<Arc<ServerOpen>>,
    memory: RequestMemory,
    reply: ReplyBuffer,
    done: KBox<Written>,
}

/// Ends the way of a copy.
struct Written {
    copy: Arc<PageCopy>,
    inode: ARef<Inode>,
    op: Write,
    #[expect(dead_code, reason = "held")]
    late: Late,
}

impl Completion for Written {
    fn complete(&mut self, _: &Arc<Connection>, answer: Result<Reply>) {
        let inode = &self.inode;
        let written = answer.and_then(|reply| self.op.parse(reply.body()).map_err(|_| EIO));
        let error = match written {
            // The pages are clean, so nobody would write the rest.
            Ok(written) if written < self.op.size => Some(EIO),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        if let Some(error) = error {
            inode.set_write_error(error);
        }
        attributes::written_back(inode);
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let inode = &self.inode;
        if let Some(lender) = &inode::mount(inode).lender {
            lender.looker().end(&self.copy);
        }
        // First, so that whoever makes a page dirty again finds it written.
        self.copy.content.end();
        inode.data().in_flight.finish(&self.copy);
        self.copy.over.set();
    }
}

impl PageCopy {
    /// Queues `range` of the file, which is dirty in `folios`. It is sent by
    /// [`send_queued`](super::in_flight::send_queued).
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn queue(
        inode: &Inode,
        range: Range<u64>,
        folios: &mut [DirtyFolio],
        way: Way,
        open: Option<Arc<ServerOpen>>,
    ) -> Result {
        let is_lent = matches!(way, Way::Lend);
        let len = range.end.saturating_sub(range.start);
        let op = Write {
            fh: open.as_ref().map_or(FileHandle(0), |open| open.fh()),
            offset: range.start,
            size: u32::try_from(len).map_err(|_| EINVAL)?,
            write_flags: WriteFlags::CACHE,
            flags: 0,
            lock_owner: None,
        };
        let place = UniqueArc::<Self>::new_uninit(GFP_KERNEL)?;
        let place_in_index = KBox::<Node<Arc<Self>, CopyNode>>::new_uninit(GFP_KERNEL)?;
        let place_for_end = KBox::<Written>::new_uninit(GFP_KERNEL)?;
        let memory = RequestMemory::for_body::<WriteIn>()?;
        let reply = ReplyBuffer::for_shape(op.shape())?;
        let copy = match way {
            Way::Lend => {
                let lent = lend(inode, &range, folios)?;
                Self::place(place, range, Content::lent(lent, inode.into()))
            }
            Way::Copy => {
                let lent = lend(inode, &range, folios)?;
                let data = lent
                    .copy()
                    .and_then(|data| Ok(UniqueArc::new(data, GFP_KERNEL)?));
                let data =
                    data.inspect_err(|_| folios.iter_mut().for_each(DirtyFolio::take_back))?;
                // Counted by us before the kernel does no longer.
                let copy = Self::place(place, range, Content::copied(data, inode.into()));
                drop(lent);
                copy
            }
            Way::Copied(data) => {
                let data = UniqueArc::new(data, GFP_KERNEL)?;
                Self::place(place, range, Content::copied(data, inode.into()))
            }
        };
        let node = Node::new(pages_of(copy.bytes()), copy.id(), copy.clone());
        let done = place_for_end.write(Written {
            copy: copy.clone(),
            inode: inode.into(),
            op,
            late: late::begin(inode),
        });
        *copy.parcel.lock() = Some(Parcel {
            open,
            memory,
            reply,
            done,
        });
        if let Some(lender) = inode::mount(inode).lender.as_ref().filter(|_| is_lent) {
            lender.looker().lend(&copy);
            lender.start();
        }
        let in_flight = &inode.data().in_flight;
        in_flight.queue(&copy, CopyNode(place_in_index.write(node)));
        Ok(())
    }

    fn place(
        place: UniqueArc<MaybeUninit<Self>>,
        bytes: Range<u64>,
        content: impl PinInit<Content>,
    ) -> Arc<Self> {
        let placed = place.pin_init_with(pin_init!(Self {
            link: Link::new(),
            lent_link: Link::new(),
            bytes,
            made: monotonic_nanos(),
            content <- content,
            parcel <- new_spinlock!(None, "fuse_rs::PageCopy::parcel"),
            sent: Atomic::new(false),
            over <- Over::init(),
        }));
        match placed {
            Ok(copy) => copy.into(),
            Err(never) => match never {},
        }
    }

    /// Tells it apart from others of the same start.
    pub(super) fn id(&self) -> u64 {
        core::ptr::from_ref(self) as u64
    }

    /// What of the file it holds.
    pub(super) fn bytes(&self) -> Range<u64> {
        self.bytes.clone()
    }

    /// Where it starts in the file.
    pub(super) fn start(&self) -> u64 {
        self.bytes.start
    }

    /// When it was made, see [`monotonic_nanos`].
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// The bytes.
    pub(super) fn content(&self) -> &Content {
        &self.content
    }

    /// It counts as sent.
    pub(super) fn set_sent(&self) {
        self.sent.store(true, Relaxed);
    }

    /// Whether it does.
    pub(super) fn is_sent(&self) -> bool {
        self.sent.load(Relaxed)
    }

    /// Waits until the server has stored it, or never will.
    ///
    /// # Errors
    ///
    /// `EINTR` when the caller is killed.
    pub(super) fn wait(&self) -> Result {
        self.over.wait()
    }

    /// Sends the first `len` bytes; with nothing to send, the copy is over.
    pub(super) fn send(self: Arc<Self>, len: Option<u64>) {
        let parcel = self.parcel.lock().take();
        if let (Some(parcel), Some(len)) = (parcel, len) {
            self.content
                .truncate(usize::try_from(len).unwrap_or(usize::MAX));
            parcel.send(self);
        }
    }
}

impl Source for PageCopy {
    fn len(&self) -> usize {
        self.content.len()
    }

    fn copy_to(&self, dest: &mut dyn MessageSink) -> Result {
        self.content.copy_to(dest)
    }

    fn hold(&self) -> Result<Held> {
        self.content.hold()
    }
}

/// Lends what is dirty of `folios`, which is `bytes` of the file.
///
/// # Errors
///
/// `ENOMEM`. Others cannot happen; whoever asks whether all is written would hear of them.
fn lend(inode: &Inode, bytes: &Range<u64>, folios: &mut [DirtyFolio]) -> Result<LentFolios> {
    let mut to = LentFolios::with_capacity(folios.len())?;
    for folio in folios {
        let at = |position: u64| {
            let within = position.saturating_sub(folio.position());
            usize::try_from(within).map_or(folio.size(), |within| within.min(folio.size()))
        };
        let part = at(bytes.start)..at(bytes.end);
        folio
            .lend(part, &mut to)
            .inspect_err(|error| inode.set_write_error(*error))?;
    }
    Ok(to)
}

impl Parcel {
    fn send(self, copy: Arc<PageCopy>) {
        let Self {
            open,
            memory,
            reply,
            mut done,
        } = self;
        done.op.size = u32::try_from(copy.content.len()).unwrap_or(u32::MAX);
        let op = done.op;
        let inode = done.inode.clone();
        let Ok(node) = inode::node(&inode) else {
            inode.set_write_error(EIO);
            return;
        };
        let post = Post::new(Urgency::Background, done)
            .into_buffer(reply)
            .with_data(Payload::Others(copy));
        let envelope = Envelope::by_kernel(node).with(open.as_ref());
        let sent = inode::connection(&inode).post_with(&op, envelope, post, Some(memory));
        if let Err(error) = sent {
            // Cannot happen: all memory is there, and nobody's identity has to be told.
            inode.set_write_error(error);
        }
    }
}
