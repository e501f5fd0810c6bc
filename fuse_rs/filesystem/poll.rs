// SPDX-License-Identifier: GPL-2.0

//! Those who wait until files are ready, and the server's word that they are.

use super::inode;
use super::Fuse;
use super::OpenFile;
use crate::connection::call::Envelope;
use crate::prelude::*;
use fuse_pure::abi::ids::Opcode;
use fuse_pure::op::poll::Poll;
use kernel::rbtree::RBTree;
use kernel::rbtree::RBTreeNode;
use kernel::sync::SetOnce;
use kernel_glue::sync::wait::WaitQueue;
use kernel_glue::vfs::poll::PollOperations;

/// Where those wait who want to know when a file is ready.
#[pin_data]
struct Waiters {
    #[pin]
    queue: WaitQueue,
}

/// The open files of a mount that somebody has waited for.
#[pin_data]
pub(crate) struct Polled {
    #[pin]
    files: SpinLock<RBTree<u64, Arc<Waiters>>>,
    next: Atomic<u64>,
}

impl Polled {
    /// None yet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                files <- new_spinlock!(RBTree::new(), "fuse_rs::Polled::files"),
                next: Atomic::new(1),
            }),
            GFP_KERNEL,
        )
    }

    /// Adds an open file, unless another has just done so.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn add(self: &Arc<Self>, file: &SetOnce<PolledFile>) -> Result {
        let mut new = Some(PolledFile::new(self)?);
        {
            let _files = self.files.lock();
            if file.as_ref().is_none() {
                new.take().map(|new| file.populate(new));
            }
        }
        // If it is not needed, it takes the lock, too.
        drop(new);
        Ok(())
    }

    /// The server says that the file it knows as `kh` may be ready. If there is none, it has been
    /// closed.
    pub(crate) fn wake(&self, kh: u64) {
        let waiters = self.files.lock().get(&kh).cloned();
        if let Some(waiters) = waiters {
            waiters.queue.wake_all();
        }
    }
}

/// An open file that somebody has waited for.
pub(crate) struct PolledFile {
    polled: Arc<Polled>,
    kh: u64,
    waiters: Arc<Waiters>,
}

impl PolledFile {
    fn new(polled: &Arc<Polled>) -> Result<Self> {
        let waiters = Arc::pin_init(
            pin_init!(Waiters {
                queue <- new_wait_queue!("fuse_rs::Waiters::queue"),
            }),
            GFP_KERNEL,
        )?;
        let kh = polled.next.fetch_add(1, Relaxed);
        let node = RBTreeNode::new(kh, waiters.clone(), GFP_KERNEL)?;
        let old = polled.files.lock().insert(node);
        drop(old);
        Ok(Self {
            polled: polled.clone(),
            kh,
            waiters,
        })
    }
}

impl Drop for PolledFile {
    fn drop(&mut self) {
        let node = self.polled.files.lock().remove_node(&self.kh);
        drop(node);
    }
}

impl PollOperations for Fuse {
    fn poll_queue<'a>(file: &OpenFile<'a>) -> Result<Option<&'a WaitQueue>> {
        let mount = inode::mount(file.inode());
        if mount.connection.lacks(Opcode::Poll) {
            return Ok(None);
        }
        let polled = file.handle().ok_or(EIO)?.polled(&mount.polled)?;
        Ok(Some(&polled.waiters.queue))
    }

    fn readiness(file: &OpenFile<'_>, events: u32, waiting: bool) -> Result<Option<u32>> {
        let mount = inode::mount(file.inode());
        let handle = file.handle().ok_or(EIO)?;
        let op = Poll {
            fh: handle.fh(),
            kh: handle.polled(&mount.polled)?.kh,
            notify: waiting,
            events,
        };
        let envelope = Envelope::by_caller(inode::node(file.inode())?).with(handle.open_there());
        match mount.connection.call(&op, envelope) {
            Err(ENOSYS) => Ok(None),
            other => other.map(Some),
        }
    }
}
