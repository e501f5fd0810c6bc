// SPDX-License-Identifier: GPL-2.0

//! Decisions without kernel objects: an event and the present state in, effects out.

pub mod attr_version;
pub mod background;
pub mod barrier;
pub mod belief;
pub mod dax_map;
pub mod dax_window;
pub mod dirents;
pub mod dirty_pages;
pub mod file_id;
pub mod forget_turn;
pub mod freshness;
pub mod generations;
pub mod interval_tree;
pub mod listing;
pub mod negotiate;
pub mod prefix;
pub mod scramble;
pub mod sticky;
pub mod wheel;
