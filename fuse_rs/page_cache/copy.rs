// SPDX-License-Identifier: GPL-2.0

//! Copies of dirty pages, and their WRITEs.

use super::in_flight::pages_of;
use super::over::Over;
use crate::connection::call::Envelope;
use crate::connection::opened::ServerOpen;
use crate::connection::payload::Payload;
use crate::connection::post::Post;
use crate::connection::post::Urgency;
use crate::connection::request::Completion;
use crate::connection::request::Reply;
use crate::connection::request::ReplyBuffer;
use crate::connection::request::RequestMemory;
use crate::connection::Connection;
use crate::filesystem::attributes;
use crate::filesystem::inode;
use crate::filesystem::late;
use crate::filesystem::late::Late;
use crate::filesystem::Fuse;
use crate::filesystem::Inode;
use crate::prelude::*;
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
use kernel_glue::mm::writeback::WritebackPages;

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

/// A copy of dirty pages that the server is to store.
#[pin_data]
pub(super) struct PageCopy {
    link: Link<Self>,
    /// What of the file it holds.
    bytes: Range<u64>,
    /// The WRITE, until it is sent.
    #[pin]
    parcel: SpinLock<Option<Parcel>>,
    sent: Atomic<bool>,
    #[pin]
    over: Over,
}

impl_linked!(PageCopy, 0: link);

/// All that a WRITE needs, so that sending it does not fail.
struct Parcel {
    inode: ARef<Inode>,
    data: UniqueArc<PageData>,
    open: Option<Arc<ServerOpen>>,
    memory: RequestMemory,
    reply: ReplyBuffer,
    done: KBox<Written>,
}

/// Ends the way of a copy.
struct Written {
    copy: Arc<PageCopy>,
    pages: WritebackPages<Fuse>,
    op: Write,
    #[expect(dead_code, reason = "held")]
    late: Late,
}

impl Completion for Written {
    fn complete(&mut self, _: &Arc<Connection>, answer: Result<Reply>) {
        let inode = self.pages.inode();
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
        let inode = self.pages.inode();
        inode.data().in_flight.finish(&self.copy);
        inode::connection(inode).remove_temporary_pages(self.pages.pages());
        self.copy.over.set();
    }
}

impl PageCopy {
    /// Queues a copy of dirty pages from `start` of the file on; it is sent by [`send_queued`](super::in_flight::send_queued).
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn queue(
        inode: &Inode,
        start: u64,
        data: PageData,
        open: Option<Arc<ServerOpen>>,
    ) -> Result {
        let connection = inode::connection(inode);
        let len = data.len();
        let op = Write {
            fh: open.as_ref().map_or(FileHandle(0), |open| open.fh()),
            offset: start,
            size: u32::try_from(len).map_err(|_| EINVAL)?,
            write_flags: WriteFlags::CACHE,
            flags: 0,
            lock_owner: None,
        };
        let data = UniqueArc::new(data, GFP_KERNEL)?;
        let memory = RequestMemory::for_body::<WriteIn>()?;
        let reply = ReplyBuffer::for_shape(op.shape())?;
        let copy = Arc::pin_init(
            pin_init!(Self {
                link: Link::new(),
                bytes: start..start.saturating_add(len as u64),
                parcel <- new_spinlock!(None, "fuse_rs::PageCopy::parcel"),
                sent: Atomic::new(false),
                over <- Over::init(),
            }),
            GFP_KERNEL,
        )?;
        let node = Node::new(pages_of(copy.bytes()), copy.id(), copy.clone());
        let node = CopyNode(KBox::new(node, GFP_KERNEL)?);
        let slot = KBox::<Written>::new_uninit(GFP_KERNEL)?;
        // From here on nothing fails. The pages count as being written back before they do not any
        // more for the kernel.
        let pages = WritebackPages::count(inode, op.offset, len);
        connection.add_temporary_pages(pages.pages());
        let done = slot.write(Written {
            copy: copy.clone(),
            pages,
            op,
            late: late::begin(inode),
        });
        *copy.parcel.lock() = Some(Parcel {
            inode: inode.into(),
            data,
            open,
            memory,
            reply,
            done,
        });
        inode.data().in_flight.queue(&copy, node);
        Ok(())
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
    pub(super) fn send(&self, len: Option<u64>) {
        let parcel = self.parcel.lock().take();
        if let (Some(parcel), Some(len)) = (parcel, len) {
            parcel.send(len);
        }
    }
}

impl Parcel {
    fn send(self, len: u64) {
        let Self {
            inode,
            mut data,
            open,
            memory,
            reply,
            mut done,
        } = self;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len < data.len() {
            data.truncate(len);
        }
        done.op.size = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let op = done.op;
        let data = Payload::Own(data.into());
        let Ok(node) = inode::node(&inode) else {
            inode.set_write_error(EIO);
            return;
        };
        let post = Post::new(Urgency::Background, done)
            .into_buffer(reply)
            .with_data(data);
        let envelope = Envelope::by_kernel(node).with(open.as_ref());
        let sent = inode::connection(&inode).post_with(&op, envelope, post, Some(memory));
        if let Err(error) = sent {
            // Cannot happen: all memory is there, and nobody's identity has to be told.
            inode.set_write_error(error);
        }
    }
}
