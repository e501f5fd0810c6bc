// SPDX-License-Identifier: GPL-2.0

//! Extensions of requests on the wire, which follow the body.

use super::wire_size;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Head of an extension.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExtHeader {
    /// Bytes of the extension with this head.
    pub size: u32,
    /// Its type; up to 31 it is the number of security labels ([`SecctxHeader`]).
    pub kind: u32,
}

/// The type of the extension that tells groups.
pub const EXT_GROUPS: u32 = 32;

/// Groups of the caller's; so many ids follow.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SuppGroups {
    /// How many.
    pub nr_groups: u32,
}

/// Head of the extension that tells security labels.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SecctxHeader {
    /// Bytes of the extension with this head.
    pub size: u32,
    /// How many labels.
    pub nr_secctx: u32,
}

/// A security label; the name of its attribute, with a NUL, and the label follow.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Secctx {
    /// Bytes of the label.
    pub size: u32,
    /// Zero.
    pub padding: u32,
}

wire_size!(ExtHeader = 8, SuppGroups = 4, SecctxHeader = 8, Secctx = 8);
