// SPDX-License-Identifier: GPL-2.0

//! Operations a server has said once that it does not have (ENOSYS); they are not sent again.

use crate::abi::ids::Opcode;

/// The bit that stands for an operation in a set of 64.
///
/// `None` for an operation whose absence is not remembered: its ENOSYS is an ordinary error.
pub const fn bit(op: Opcode) -> Option<u64> {
    match op {
        Opcode::Open
        | Opcode::Opendir
        | Opcode::Flush
        | Opcode::Fsync
        | Opcode::Fsyncdir
        | Opcode::Readdirplus
        | Opcode::Create
        | Opcode::Tmpfile
        | Opcode::Statx
        | Opcode::Access
        | Opcode::Bmap
        | Opcode::Poll
        | Opcode::Lseek
        | Opcode::Fallocate
        | Opcode::CopyFileRange
        | Opcode::CopyFileRange64
        | Opcode::Rename2
        | Opcode::Link
        | Opcode::Setxattr
        | Opcode::Getxattr
        | Opcode::Listxattr
        | Opcode::Removexattr
        | Opcode::Syncfs
        | Opcode::Interrupt => Some(1u64.wrapping_shl(op.get())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_differ() {
        let mut seen = 0u64;
        for op in Opcode::ALL {
            if let Some(bit) = bit(*op) {
                assert_eq!(seen & bit, 0, "{}", op.name());
                seen |= bit;
            }
        }
        assert_eq!(bit(Opcode::Lookup), None);
    }
}
