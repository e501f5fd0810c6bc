// SPDX-License-Identifier: GPL-2.0

//! What names an inode in a file handle.
//!
//! Handles outlive mounts and drivers: the words are those every FUSE client uses, the node id with
//! its upper half first, and the generation.

use crate::abi::ids::NodeId;

/// An inode as a handle names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    /// The node id.
    pub node: NodeId,
    /// The lower half of the generation.
    pub generation: u32,
}

impl FileId {
    /// As words of a handle.
    pub const fn to_words(self) -> [u32; 3] {
        let node = self.node.get();
        [(node >> 32) as u32, node as u32, self.generation]
    }

    /// From words that anybody may have made up; none if they name nothing.
    pub const fn from_words(words: [u32; 3]) -> Option<Self> {
        let [high, low, generation] = words;
        let node = (high as u64) << 32 | low as u64;
        match NodeId::from_server(node) {
            Some(node) => Some(Self { node, generation }),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_found() {
        for (node, words) in [
            (1, [0, 1, 7]),
            (0x1234_5678_9abc_def0, [0x1234_5678, 0x9abc_def0, 7]),
            (u64::MAX, [u32::MAX, u32::MAX, 7]),
        ] {
            let id = FileId {
                node: NodeId::from_server(node).unwrap(),
                generation: 7,
            };
            assert_eq!(id.to_words(), words);
            assert_eq!(FileId::from_words(words), Some(id));
        }
    }

    #[test]
    fn node_zero_names_nothing() {
        assert_eq!(FileId::from_words([0, 0, 7]), None);
    }
}
