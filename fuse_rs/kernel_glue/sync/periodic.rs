// SPDX-License-Identifier: GPL-2.0

//! Looking after something from time to time.

use crate::bindings;
use kernel::prelude::*;
use kernel::types::Opaque;

/// What is done from time to time.
pub trait Look: Send + Sync {
    /// Has a look; whether there is to be another. May sleep.
    fn look(&self) -> bool;
}

/// Looks after something at intervals. Dropping it ends that, and waits for a look that is being had.
#[pin_data(PinnedDrop)]
pub struct Periodic<T: Look> {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    /// In milliseconds.
    interval: u32,
    #[pin]
    look: T,
}

// SAFETY: The work may be started and cancelled on any thread.
unsafe impl<T: Look> Send for Periodic<T> {}
// SAFETY: Shared access does nothing.
unsafe impl<T: Look> Sync for Periodic<T> {}

impl<T: Look> Periodic<T> {
    /// To be started. The interval is in milliseconds.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(interval: u32, look: impl PinInit<T>) -> Result<Pin<KBox<Self>>> {
        KBox::pin_init(
            pin_init!(Self {
                work <- Opaque::ffi_init(|work| {
                    // SAFETY: The place is valid, and the work does not move any more.
                    unsafe { bindings::fuse_rs_helper_init_delayed_work(work, Some(run::<T>)) }
                }),
                interval,
                look <- look,
            }),
            GFP_KERNEL,
        )
    }

    /// As [`Periodic::new`], and starts it.
    pub fn started(interval: u32, look: T) -> Result<Pin<KBox<Self>>> {
        let this = Self::new(interval, look)?;
        this.start();
        Ok(this)
    }

    /// Starts it, if it is not on: the next look is had when the interval has passed.
    pub fn start(&self) {
        // SAFETY: The work was initialised, and is cancelled before it goes.
        unsafe { bindings::fuse_rs_helper_schedule_after(self.work.get(), self.interval) };
    }

    /// Who has the looks.
    pub fn looker(&self) -> &T {
        &self.look
    }
}

/// # Safety
///
/// Called with the work of a [`Periodic`] that exists.
unsafe extern "C" fn run<T: Look>(work: *mut bindings::work_struct) {
    // SAFETY: By the safety requirements; the inner work lies in the delayed one, and that in the
    // value, of which there are shared references only.
    let this = unsafe {
        let delayed = kernel::container_of!(work, bindings::delayed_work, work);
        &*kernel::container_of!(Opaque::cast_from(delayed), Periodic<T>, work)
    };
    if this.look.look() {
        // Who cancels it waits for this function.
        this.start();
    }
}

#[pinned_drop]
impl<T: Look> PinnedDrop for Periodic<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The work was initialised; afterwards it is not used any more.
        unsafe { bindings::cancel_delayed_work_sync(self.work.get()) };
    }
}
