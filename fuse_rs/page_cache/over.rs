// SPDX-License-Identifier: GPL-2.0

//! Waiting for the end of what goes on elsewhere.

use crate::prelude::*;
use kernel_glue::sync::wait::WaitQueue;

/// The end of something.
#[pin_data]
pub(super) struct Over {
    over: Atomic<bool>,
    #[pin]
    wait: WaitQueue,
}

impl Over {
    /// Of something that is not over yet.
    pub(super) fn init() -> impl PinInit<Self> {
        pin_init!(Self {
            over: Atomic::new(false),
            wait <- new_wait_queue!("fuse_rs::Over::wait"),
        })
    }

    /// As [`Over::init`], to be shared.
    pub(super) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(Self::init(), GFP_KERNEL)
    }

    /// It is over. Does not sleep.
    pub(super) fn set(&self) {
        self.over.store(true, Release);
        self.wait.wake_all();
    }

    /// Waits until it is over.
    ///
    /// # Errors
    ///
    /// `EINTR` when the caller is killed.
    pub(super) fn wait(&self) -> Result {
        self.wait
            .wait(Signals::Killable, Wake::Shared, || self.over.load(Acquire))
            .map_err(|_| EINTR)
    }
}
