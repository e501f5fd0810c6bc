// SPDX-License-Identifier: GPL-2.0

//! Which reply about attributes may be believed.
//!
//! A request that was sent before a newer state of the inode became known must not bring the old
//! state back. Every change of an inode's attributes takes the next number of a counter; a reply
//! counts only if the inode's number is not above the one the counter had when its request was
//! made.

/// The number of an inode's attributes, or of the moment a request was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttrVersion(pub u64);

impl AttrVersion {
    /// Whether a reply to a request made at `self` is stale for an inode at `inode`.
    ///
    /// Version zero asks for no check (the reply is the newest state by construction).
    pub const fn is_stale_for(self, inode: Self) -> bool {
        self.0 != 0 && inode.0 > self.0
    }
}

#[cfg(test)]
mod tests {
    use super::AttrVersion;

    #[test]
    fn older_requests_lose() {
        assert!(AttrVersion(3).is_stale_for(AttrVersion(4)));
        assert!(!AttrVersion(4).is_stale_for(AttrVersion(4)));
        assert!(!AttrVersion(5).is_stale_for(AttrVersion(4)));
        assert!(!AttrVersion(0).is_stale_for(AttrVersion(4)));
    }
}
