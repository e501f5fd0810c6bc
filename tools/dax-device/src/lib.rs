// SPDX-License-Identifier: GPL-2.0
//! A vhost-user virtio-fs device with a DAX window.
//!
//! QEMU's generic vhost-user device gives the guest the virtqueues and the shared-memory region; this
//! is the other end of its socket. Requests go through three layers:
//!
//! - `device`: vhost-user and virtqueues; takes requests out of the guest's memory and puts replies in.
//! - `session`: what the device adds to FUSE: mappings, which files are for DAX, counters.
//! - `passthrough`: virtiofsd's file system, which does all the rest.
#![forbid(unsafe_code)]

pub mod counters;
pub mod device;
pub mod misbehave;
pub mod options;
pub mod passthrough;
pub mod policy;
pub mod session;
pub mod window;
pub mod wire;
