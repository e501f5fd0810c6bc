// SPDX-License-Identifier: GPL-2.0

//! Dropping names whose time is over.
//!
//! The VFS keeps names that nobody uses until memory is short, and with them inodes, which the
//! server has to keep, too. If an administrator wants it (the sysctl `inval_wq`), names are
//! dropped when they may not be believed any more and nobody uses them.
//!
//! All names of the mount are in a ring of queues, in the order in which they are to be looked at.
//! When a name may be believed for longer, it stays where it is until its turn comes.

use super::Fuse;
use super::SuperBlock;
use crate::connection::Connection;
use crate::prelude::*;
use core::num::NonZeroU64;
use fuse_pure::logic::belief::Belief;
use fuse_pure::logic::wheel::Wheel;
use fuse_pure::logic::wheel::SLOTS;
use kernel_glue::list::Queue;
use kernel_glue::sync::periodic::Look;
use kernel_glue::sync::periodic::Periodic;
use kernel_glue::sys::let_others_run;
use kernel_glue::sys::monotonic_nanos;
use kernel_glue::vfs::remembered::Remembered;

/// A name that may be gone.
type Name = Remembered<Fuse>;

/// Where a name is in the ring.
pub(crate) struct Place(Atomic<u32>);

impl Place {
    pub(crate) fn new() -> Self {
        Self(Atomic::new(0))
    }
}

struct Ring {
    wheel: Wheel,
    slots: [Queue<Name>; SLOTS],
}

/// The names of a mount.
#[pin_data]
pub(crate) struct Expiry {
    seconds: u32,
    #[pin]
    ring: SpinLock<Ring>,
}

impl Expiry {
    /// Names are to be looked at every so many seconds; none for never.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(seconds: u32) -> Result<Option<Pin<KBox<Self>>>> {
        let Some(period) = NonZeroU64::new(u64::from(seconds).saturating_mul(1_000_000_000)) else {
            return Ok(None);
        };
        let wheel = Wheel::new(period, monotonic_nanos());
        let slots = core::array::from_fn(|_| Queue::new());
        let this = KBox::pin_init(
            pin_init!(Self {
                seconds,
                ring <- new_spinlock!(Ring { wheel, slots }, "fuse_rs::Expiry::ring"),
            }),
            GFP_KERNEL,
        )?;
        Ok(Some(this))
    }

    /// Looks at names from time to time, as long as somebody listens to the server.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn start(&self, connection: &Arc<Connection>) -> Result<Pin<KBox<Periodic<Clock>>>> {
        Periodic::started(self.seconds.saturating_mul(1000), Clock(connection.clone()))
    }

    /// Takes a name up that is to be looked at after `end`.
    fn put(&self, name: Arc<Name>, end: u64) {
        let mut ring = self.ring.lock();
        let slot = ring.wheel.slot(end);
        name.data.0.store(slot as u32, Relaxed);
        if let Some(queue) = ring.slots.get_mut(slot) {
            // It is in no other.
            let _ = queue.push_back(name);
        }
    }

    fn take_from(&self, slot: usize) -> Option<Arc<Name>> {
        self.ring.lock().slots.get_mut(slot)?.pop_front()
    }

    fn remove(&self, name: &Name) {
        let removed = {
            let mut ring = self.ring.lock();
            let slot = name.data.0.load(Relaxed) as usize;
            ring.slots
                .get_mut(slot)
                .and_then(|queue| queue.remove(name))
        };
        drop(removed);
    }

    /// Drops the names whose time is over and that nobody uses.
    ///
    /// # Context
    ///
    /// May sleep, but waits for no server.
    pub(crate) fn drop_over(&self, connection: &Connection) {
        let now = monotonic_nanos();
        loop {
            let turned = self.ring.lock().wheel.turn(now);
            let Some(slot) = turned else {
                return;
            };
            while let Some(name) = self.take_from(slot) {
                if connection.has_ended() {
                    return;
                }
                self.look_at(name, connection, now);
                let_others_run();
            }
        }
    }

    fn look_at(&self, name: Arc<Name>, connection: &Connection, now: u64) {
        match name.belief().map(Belief::from_bits) {
            None => {}
            Some(belief) if connection.believes(belief) => self.put(name, belief.end()),
            Some(_) if name.drop_unused() => {}
            Some(_) => self.put(name, now),
        }
    }
}

/// A name of the mount has been made.
pub(super) fn entry_made(sb: &SuperBlock, name: Arc<Name>) {
    if let Some(expiry) = &sb.data().expiry {
        expiry.put(name, monotonic_nanos());
    }
}

/// A name of the mount is gone.
pub(super) fn entry_gone(sb: &SuperBlock, name: &Name) {
    if let Some(expiry) = &sb.data().expiry {
        expiry.remove(name);
    }
}

/// Says when to look at names.
pub(crate) struct Clock(Arc<Connection>);

impl Look for Clock {
    fn look(&self) -> bool {
        self.0.remind()
    }
}
