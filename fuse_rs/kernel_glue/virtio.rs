// SPDX-License-Identifier: GPL-2.0

//! Virtio devices: drivers, queues, and what travels through them.
//!
//! A [`Load`](table::Load) is a value that describes memory: some of it for the device to read, some for it to
//! write. A queue takes the value over, so that nobody has access to it as long as the device has, and
//! hands it back when the device is done or can be no longer.

pub mod driver;
pub mod queue;
pub mod table;
