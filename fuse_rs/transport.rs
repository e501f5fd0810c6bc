// SPDX-License-Identifier: GPL-2.0

//! How requests reach a server and replies come back. Knows nothing of file systems.

pub(crate) mod chardev;
