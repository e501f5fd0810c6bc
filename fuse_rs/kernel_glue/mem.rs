// SPDX-License-Identifier: GPL-2.0

//! Memory.

pub mod pages;
pub mod reserve;
pub mod user_pages;
