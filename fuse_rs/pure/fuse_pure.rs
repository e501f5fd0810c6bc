// SPDX-License-Identifier: GPL-2.0

//! The FUSE protocol and the state machines of the client, without a kernel.
//!
//! This crate knows the wire format ([`abi`]), every request and what its reply may look like
//! ([`op`]) and the decisions that need no kernel object ([`logic`]). It uses `core` and
//! `zerocopy` only, allocates nothing, contains no `unsafe` (the compiler enforces it) and no
//! reachable panic, so the same files are compiled into the module and, by `tools/host-tests`,
//! into an ordinary program that tests them.
//!
//! Everything here that reads bytes treats them as hostile.

#![cfg_attr(not(MODULE), no_std)]

pub mod abi;
pub mod logic;
pub mod op;
