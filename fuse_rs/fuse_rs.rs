// SPDX-License-Identifier: GPL-2.0

//! The Linux FUSE client in Rust.
//!
//! This is the root of the module: what it registers, under which names, and in which order that
//! is undone. Below it, calls go down only: [`filesystem`] asks [`connection`] for what the
//! kernel wants to know, [`transport`] carries the requests. Kernel objects come from the crate
//! `kernel_glue`, the protocol from the crate `fuse_pure`.

mod connection;
mod control;
mod dax;
mod filesystem;
mod page_cache;
mod registration;
mod transport;

/// What nearly every file here uses.
mod prelude {
    pub(crate) use kernel::new_spinlock;
    pub(crate) use kernel::prelude::*;
    pub(crate) use kernel::sync::atomic::Acquire;
    pub(crate) use kernel::sync::atomic::Atomic;
    pub(crate) use kernel::sync::atomic::Full;
    pub(crate) use kernel::sync::atomic::Relaxed;
    pub(crate) use kernel::sync::atomic::Release;
    pub(crate) use kernel::sync::Arc;
    pub(crate) use kernel::sync::SpinLock;
    pub(crate) use kernel_glue::new_wait_queue;
    pub(crate) use kernel_glue::sync::wait::Signals;
    pub(crate) use kernel_glue::sync::wait::Wake;
    pub(crate) use kernel_glue::uio::IovIterDest;
    pub(crate) use kernel_glue::uio::IovIterSource;
    pub(crate) use kernel_glue::warn_ratelimited;
}

use control::UserLimits;
use kernel::prelude::*;
use kernel_glue::mem::reserve::Reserve;
use registration::Registrations;

module! {
    type: FuseRs,
    name: "fuse_rs",
    authors: ["fuse_rs developers"],
    description: "FUSE client in Rust",
    license: "GPL",
    alias: ["fs-fuse", "fs-fuseblk", "char-major-10-229", "devname:fuse"],
    params: {
        names: u32 {
            default: 0,
            description: "Names to register: 0 fuse if free, else fuse_rs; 1 fuse; 2 fuse_rs",
        },
        max_user_bgreq: u32 {
            default: 0,
            description: "Most background requests for a server without privileges; 0 by memory",
        },
        max_user_congthresh: u32 {
            default: 0,
            description: "Most congestion threshold for a server without privileges; 0 by memory",
        },
        fail_registration: u32 {
            default: 0,
            description: "Fail at this step of registration, for tests; 0 never",
        },
    },
}

/// The loaded module.
struct FuseRs {
    _registrations: Registrations,
    /// Goes after everybody who uses it.
    _reserve: Reserve,
}

impl kernel::Module for FuseRs {
    fn init(module: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _registrations: Registrations::new(
                module,
                *module_parameters::names.value_ref(),
                *module_parameters::fail_registration.value_ref(),
                UserLimits::new(
                    *module_parameters::max_user_bgreq.value_ref(),
                    *module_parameters::max_user_congthresh.value_ref(),
                ),
            )?,
            _reserve: Reserve::new(),
        })
    }
}
