// SPDX-License-Identifier: GPL-2.0

//! Work that the end of an asynchronous read or write leaves to a task of its own.

use super::io::AsyncIo;
use kernel::impl_has_work;
use kernel::new_work;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::workqueue::Work;
use kernel::workqueue::WorkItem;

/// What is to be done.
pub trait Task: Send + Sync + 'static {
    /// Does it. May sleep.
    fn run(&self);
}

/// A task, and what is needed to do it later.
#[pin_data]
pub struct Deferred<T> {
    #[pin]
    work: Work<Deferred<T>>,
    #[pin]
    task: T,
}

impl_has_work! {
    impl{T: Task} HasWork<Self> for Deferred<T> { self.work }
}

impl<T: Task> Deferred<T> {
    /// Wraps a task.
    pub fn new(task: impl PinInit<T>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                work <- new_work!("fuse_rs::Deferred::work"),
                task <- task,
            }),
            GFP_KERNEL,
        )
    }
}

impl<T> core::ops::Deref for Deferred<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.task
    }
}

impl<T: Task> WorkItem for Deferred<T> {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.task.run();
    }
}

impl AsyncIo {
    /// Lets `task` run, soon, in a task that may wait for whatever it likes. Does not sleep. A task
    /// that is about to run already is not run twice.
    pub fn defer<T: Task>(&self, task: Arc<Deferred<T>>) {
        // Given back if it is queued already.
        let _ = self.queue().enqueue(task);
    }
}
