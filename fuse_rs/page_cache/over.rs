// SPDX-License-Identifier: GPL-2.0

//! Waiting for the end of what goes on elsewhere.

use crate::prelude::*;
use kernel::error::to_result;
use kernel_glue::sync::wait::WaitQueue;

/// The end of something.
#[pin_data]
pub(crate) struct Over {
    over: Atomic<bool>,
    /// The error it ended with, as the kernel has it, or zero.
    error: Atomic<i32>,
    #[pin]
    wait: WaitQueue,
}

impl Over {
    /// Of something that is not over yet.
    pub(crate) fn init() -> impl PinInit<Self> {
        pin_init!(Self {
            over: Atomic::new(false),
            error: Atomic::new(0),
            wait <- new_wait_queue!("fuse_rs::Over::wait"),
        })
    }

    /// As [`Over::init`], to be shared.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(Self::init(), GFP_KERNEL)
    }

    /// It is over. Does not sleep.
    pub(crate) fn set(&self) {
        self.over.store(true, Release);
        self.wait.wake_all();
    }

    /// It will be over with an error.
    pub(crate) fn fail(&self, error: Error) {
        self.error.store(error.to_errno(), Relaxed);
    }

    /// Once it is over: how it ended.
    pub(crate) fn outcome(&self) -> Result {
        to_result(self.error.load(Relaxed))
    }

    /// Waits until it is over.
    ///
    /// # Errors
    ///
    /// `EINTR` when the caller is killed.
    pub(crate) fn wait(&self) -> Result {
        self.wait
            .wait(Signals::Killable, Wake::Shared, || self.over.load(Acquire))
            .map_err(|_| EINTR)
    }
}
