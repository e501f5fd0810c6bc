// SPDX-License-Identifier: GPL-2.0

//! Macros of this crate.

/// Converts what a callback returns into what C expects: a value, or a negated errno.
macro_rules! c_result {
    ($body:expr) => {
        kernel::error::from_result(|| $body)
    };
}
