// SPDX-License-Identifier: GPL-2.0

//! Readiness of files on the wire.

use super::wire_size;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Body of POLL.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PollIn {
    /// The open file.
    pub fh: u64,
    /// Our name for it, in the notification POLL.
    pub kh: u64,
    /// `FUSE_POLL_*`.
    pub flags: u32,
    /// `POLL*` events that are of interest.
    pub events: u32,
}

/// Reply to POLL.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PollOut {
    /// `POLL*` events that there are.
    pub revents: u32,
    /// Zero.
    pub padding: u32,
}

/// The notification POLL.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NotifyPollWakeupOut {
    /// Our name for the open file.
    pub kh: u64,
}

wire_size!(PollIn = 24, PollOut = 8, NotifyPollWakeupOut = 8);
