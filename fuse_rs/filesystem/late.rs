// SPDX-License-Identifier: GPL-2.0

//! What was changed in memory and is on its way to the server when nobody uses the mount any more.
//!
//! A process may end without waiting for what it has stored to mappings. If the file system was shut
//! down then, this would be lost; and if umount(2) waited, so would everybody whom it locks out, such
//! as sync(2). So the file system lives on until the server has everything. Only on a block device
//! umount(2) waits, since the device is to be free afterwards.

use super::supers;
use super::Fuse;
use super::Inode;
use crate::connection::Connection;
use crate::prelude::*;
use core::ops::Deref;
use fuse_pure::logic::generations::Generation;
use fuse_pure::logic::generations::Generations;
use kernel::impl_has_work;
use kernel::new_work;
use kernel::sync::aref::ARef;
use kernel::workqueue::Work;
use kernel::workqueue::WorkItem;
use kernel_glue::sync::own_queue::OwnQueue;
use kernel_glue::sync::wait::WaitQueue;
use kernel_glue::vfs::kept_super::KeptSuper;

/// Where file systems are shut down whose last user is what was on its way.
pub(crate) static QUEUE: OwnQueue = OwnQueue::new();

/// What is on its way.
#[derive(Default)]
struct State {
    requests: Generations,
    /// As long as there are any.
    kept: Option<KeptSuper<Fuse>>,
    /// To be given up by the task.
    last: Option<KeptSuper<Fuse>>,
}

/// Looks after the requests of a mount by which what was changed in memory gets to the server.
#[pin_data]
pub(crate) struct Lateness {
    #[pin]
    work: Work<Lateness>,
    #[pin]
    state: SpinLock<State>,
    /// Woken when there are none, or none of a generation.
    #[pin]
    wait: WaitQueue,
}

impl_has_work! {
    impl HasWork<Self> for Lateness { self.work }
}

impl WorkItem for Lateness {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let last = this.state.lock().last.take();
        drop(last);
    }
}

/// Such a request.
#[must_use]
pub(crate) struct Late {
    lateness: Arc<Lateness>,
    generation: Generation,
}

impl Lateness {
    /// Of a mount without any.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                work <- new_work!("fuse_rs::Lateness::work"),
                state <- new_spinlock!(State::default(), "fuse_rs::Lateness::state"),
                wait <- new_wait_queue!("fuse_rs::Lateness::wait"),
            }),
            GFP_KERNEL,
        )
    }

    /// Waits until there are none, or the caller is killed.
    pub(crate) fn wait(&self) {
        let none = || self.state.lock().requests.is_idle();
        // Who is killed does not care.
        let _ = self.wait.wait(Signals::Killable, Wake::Shared, none);
    }

    /// Waits until there are none. If the caller is killed, the connection ends, and with it the wait.
    pub(crate) fn wait_or_end(&self, connection: &Arc<Connection>) {
        supers::wait_or_end(&self.wait, connection, || {
            self.state.lock().requests.is_idle()
        });
    }

    /// Waits until those are over that have begun.
    ///
    /// # Errors
    ///
    /// `EINTR` when the caller is killed.
    pub(crate) fn wait_for_begun(&self) -> Result {
        let last = self.state.lock().requests.present();
        self.wait
            .wait(Signals::Killable, Wake::Shared, || {
                self.state.lock().requests.is_over(last)
            })
            .map_err(|_| EINTR)
    }
}

/// Begins such a request. Does not sleep.
pub(crate) fn begin(inode: &Inode) -> Late {
    let data = inode.super_block().data();
    let mut state = data.late.state.lock();
    let generation = state.requests.begin();
    if state.kept.is_none() && !data.mount.options.trusts_server() {
        state.kept = inode.super_block().keep();
    }
    Late {
        lateness: data.late.clone(),
        generation,
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        let lateness = &self.lateness;
        let (wakes, kept) = {
            let mut state = lateness.state.lock();
            let wakes = state.requests.end(self.generation);
            let none = state.requests.is_idle();
            (wakes, if none { state.kept.take() } else { None })
        };
        if wakes {
            lateness.wait.wake_all();
        }
        if let Some(Err(last)) = kept.map(KeptSuper::try_release) {
            // With the only reference here, there is none in `last`.
            lateness.state.lock().last = Some(last);
            if let Some(queue) = QUEUE.get() {
                // Given back if it is about to run already.
                let _ = queue.enqueue(lateness.clone());
            }
        }
    }
}

/// Keeps an inode for a request until that is over. The connection of a mount ends before its inodes
/// go, but that of a submount need not, so there such a request is waited for.
pub(crate) struct KeptInode {
    // First: then nobody waits for it.
    inode: ARef<Inode>,
    #[expect(dead_code, reason = "held")]
    late: Option<Late>,
}

impl From<&Inode> for KeptInode {
    fn from(inode: &Inode) -> Self {
        let is_submount = inode.super_block().data().is_submount;
        Self {
            inode: inode.into(),
            late: is_submount.then(|| begin(inode)),
        }
    }
}

impl Deref for KeptInode {
    type Target = Inode;

    fn deref(&self) -> &Inode {
        &self.inode
    }
}
