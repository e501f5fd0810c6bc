// SPDX-License-Identifier: GPL-2.0

//! What a request that makes an inode says behind its body, if the server wants it: the label that
//! the new inode is to have (SECURITY_CTX), and that the caller is in the group of the directory
//! (CREATE_SUPP_GROUP).

use crate::abi::cursor::Name;
use crate::abi::cursor::Overflow;
use crate::abi::cursor::Writer;
use crate::abi::extension::ExtHeader;
use crate::abi::extension::Secctx;
use crate::abi::extension::SecctxHeader;
use crate::abi::extension::SuppGroups;
use crate::abi::extension::EXT_GROUPS;
use core::mem::size_of;

/// Extensions are counted in, and padded to, so many bytes.
pub const UNIT: usize = 8;

/// A security label.
#[derive(Clone, Copy, Debug)]
pub struct Label<'a> {
    /// The extended attribute it is kept in.
    pub attribute: Name<'a>,
    /// The label.
    pub value: &'a [u8],
}

/// The extensions of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extensions<'a> {
    /// The label of the new inode; `Some(None)` says that it has none.
    pub label: Option<Option<Label<'a>>>,
    /// A group the caller is in, besides the one in the header.
    pub group: Option<u32>,
}

impl Label<'_> {
    fn unpadded(&self) -> usize {
        size_of::<Secctx>()
            .saturating_add(self.attribute.wire_len())
            .saturating_add(self.value.len())
    }
}

fn label_len(label: Option<Label<'_>>) -> usize {
    let label = label.map_or(0, |label| label.unpadded());
    size_of::<SecctxHeader>().saturating_add(label.saturating_add(UNIT - 1) / UNIT * UNIT)
}

const GROUP_LEN: usize = size_of::<ExtHeader>() + size_of::<SuppGroups>() + size_of::<u32>();

impl Extensions<'_> {
    /// Bytes they take: a multiple of [`UNIT`].
    pub fn len(&self) -> usize {
        let label = self.label.map_or(0, label_len);
        label.saturating_add(self.group.map_or(0, |_| GROUP_LEN))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes [`Extensions::len`] bytes.
    pub fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        if let Some(label) = self.label {
            let size = label_len(label);
            w.put(&SecctxHeader {
                size: u32::try_from(size).map_err(|_| Overflow)?,
                nr_secctx: u32::from(label.is_some()),
            })?;
            if let Some(label) = label {
                w.put(&Secctx {
                    size: u32::try_from(label.value.len()).map_err(|_| Overflow)?,
                    padding: 0,
                })?;
                w.name(label.attribute)?;
                w.bytes(label.value)?;
                let padding = label.unpadded().wrapping_neg() % UNIT;
                w.bytes([0; UNIT].get(..padding).ok_or(Overflow)?)?;
            }
        }
        if let Some(group) = self.group {
            w.put(&ExtHeader {
                size: GROUP_LEN as u32,
                kind: EXT_GROUPS,
            })?;
            w.put(&SuppGroups { nr_groups: 1 })?;
            w.put(&group)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec::Vec;

    fn bytes(extensions: &Extensions<'_>) -> Vec<u8> {
        let mut buffer = [0xff; 256];
        let len = extensions.len();
        let mut writer = Writer::new(&mut buffer[..len]);
        extensions.fill(&mut writer).unwrap();
        // Exactly as many.
        assert!(writer.bytes(&[0]).is_err());
        assert_eq!(len % UNIT, 0);
        buffer[..len].to_vec()
    }

    fn words(bytes: &[u8]) -> Vec<u32> {
        bytes
            .chunks(4)
            .map(|c| u32::from_ne_bytes(c.try_into().unwrap()))
            .collect()
    }

    #[test]
    fn none_take_no_room() {
        assert!(bytes(&Extensions::default()).is_empty());
    }

    #[test]
    fn a_group_is_one_of_one() {
        let extensions = Extensions {
            group: Some(77),
            ..Extensions::default()
        };
        assert_eq!(words(&bytes(&extensions)), [16, 32, 1, 77]);
    }

    #[test]
    fn an_unlabelled_inode_is_told() {
        let extensions = Extensions {
            label: Some(None),
            group: Some(5),
        };
        assert_eq!(words(&bytes(&extensions)), [8, 0, 16, 32, 1, 5]);
    }

    #[test]
    fn labels_are_padded() {
        for len in 0..20 {
            let value: Vec<u8> = (1..=len).collect();
            let label = Label {
                attribute: Name::new(b"selinux").unwrap(),
                value: &value,
            };
            let bytes = bytes(&Extensions {
                label: Some(Some(label)),
                group: None,
            });
            assert_eq!(words(&bytes[..16]), [bytes.len() as u32, 1, len.into(), 0]);
            assert_eq!(&bytes[16..24], b"selinux\0");
            assert_eq!(&bytes[24..][..value.len()], &value[..]);
            assert!(bytes[24 + value.len()..].iter().all(|b| *b == 0));
            assert!(bytes.len() < 24 + value.len() + UNIT);
        }
    }
}
