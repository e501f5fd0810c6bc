// SPDX-License-Identifier: GPL-2.0

//! By what a device is known.

use crate::prelude::*;
use kernel::str::CString;

/// Bytes of a tag in the configuration.
pub(super) const LEN: usize = 36;

/// The tag in a configuration, which is padded with zeroes.
///
/// # Errors
///
/// `EINVAL` if it is empty, or has bytes that would make it look like something else in a list of
/// tags; `ENOMEM`.
pub(super) fn parse(bytes: &[u8; LEN]) -> Result<CString> {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or(&[]);
    if text.is_empty() || text.iter().any(u8::is_ascii_control) {
        return Err(EINVAL);
    }
    let text = core::str::from_utf8(text).map_err(|_| EINVAL)?;
    CString::try_from_fmt(fmt!("{}", text))
}
