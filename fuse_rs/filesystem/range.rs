// SPDX-License-Identifier: GPL-2.0

//! Operations on ranges of files that move no data through the kernel.

use super::inode;
use super::OpenFile;
use crate::connection::call::Envelope;
use crate::prelude::*;
use fuse_pure::op::range::Extent;
use fuse_pure::op::range::Lseek;
use kernel_glue::vfs::file_ops::SeekFor;

/// A server without such requests does not support the operation.
fn unsupported(error: Error) -> Error {
    if error == ENOSYS {
        EOPNOTSUPP
    } else {
        error
    }
}

/// Looks for data or a hole from `offset` on.
pub(crate) fn seek_for(file: &OpenFile<'_>, offset: u64, what: SeekFor) -> Result<u64> {
    let inode = file.inode();
    let handle = file.handle().ok_or(EIO)?;
    let envelope = Envelope::by_caller(inode::node(inode)?).with(handle.open_there());
    let op = Lseek {
        fh: handle.fh(),
        offset,
        extent: match what {
            SeekFor::Data => Extent::Data,
            SeekFor::Hole => Extent::Hole,
        },
    };
    inode::connection(inode)
        .call(&op, envelope)
        .map_err(unsupported)
}
