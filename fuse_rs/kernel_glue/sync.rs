// SPDX-License-Identifier: GPL-2.0

//! Waiting, and what is done from time to time.

pub mod own_queue;
pub mod periodic;
pub mod wait;
