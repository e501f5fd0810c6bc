// SPDX-License-Identifier: GPL-2.0

//! What requests that make an inode say behind their body: the label it is to have, and a group of
//! who makes it.

use super::inode;
use super::Dentry;
use super::Inode;
use crate::prelude::*;
use fuse_pure::abi::cursor::Name;
use fuse_pure::abi::init::InitFlags;
use fuse_pure::op::extension::Extensions;
use fuse_pure::op::extension::Label as WireLabel;
use kernel_glue::vfs::inode_ops::IdMap;
use kernel_glue::vfs::label::Label;

/// What is said, as far as the server wants it.
pub(crate) struct NewInodeExtensions {
    label: Option<Option<Label>>,
    group: Option<u32>,
}

impl NewInodeExtensions {
    /// Of an inode of the type in `mode` that the caller makes for `dentry` in `dir`, as a mount with
    /// this map has him.
    pub(crate) fn new(dir: &Inode, dentry: &Dentry, map: IdMap<'_>, mode: u32) -> Result<Self> {
        let connection = inode::connection(dir);
        connection.wait_ready()?;
        let label = if connection.has(InitFlags::SECURITY_CTX) {
            Some(dentry.label_for_new(mode)?)
        } else {
            None
        };
        let group = if connection.has(InitFlags::CREATE_SUPP_GROUP) {
            shared_group(dir, map)
        } else {
            None
        };
        Ok(Self { label, group })
    }

    /// As it is sent.
    pub(crate) fn to_wire(&self) -> Extensions<'_> {
        let label = self.label.as_ref();
        Extensions {
            label: label.map(|label| label.as_ref().and_then(wire_label)),
            group: self.group,
        }
    }
}

fn wire_label(label: &Label) -> Option<WireLabel<'_>> {
    Some(WireLabel {
        attribute: Name::new(label.attribute())?,
        value: label.value(),
    })
}

/// The group of a directory, if the caller is in it and the server is not told so anyway.
fn shared_group(dir: &Inode, map: IdMap<'_>) -> Option<u32> {
    let ns = &inode::connection(dir).user_ns;
    let number = ns.number_of_group(dir.group());
    number.filter(|_| number != map.caller_gid(ns) && map.is_in_group(dir))
}
