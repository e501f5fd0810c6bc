// SPDX-License-Identifier: GPL-2.0

//! Mount options.

use crate::control::Control;
use crate::dax;
use crate::prelude::*;
use crate::transport::chardev::ServerFile;
use crate::transport::Server;
use fuse_pure::op::FileType;
use kernel::str::CString;
use kernel_glue::vfs::caller::Gid;
use kernel_glue::vfs::caller::Uid;
use kernel_glue::vfs::context::MountLog;
use kernel_glue::vfs::context::OptionKind;
use kernel_glue::vfs::context::OptionSpec;
use kernel_glue::vfs::context::OptionValue;
use kernel_glue::vfs::context::Options;
use kernel_glue::vfs::fs_type::Kind;

/// A mount that is being set up.
pub(crate) struct Config {
    /// What all mounts share.
    pub(crate) control: Arc<Control>,
    /// Who may mount, and on what.
    pub(crate) kind: Kind,
    /// Where the server is.
    pub(crate) server: Option<Server>,
    /// Type and permission bits of the root.
    pub(crate) root_mode: Option<u16>,
    /// Who mounts.
    pub(crate) user_id: Option<Uid>,
    /// The group of who mounts.
    pub(crate) group_id: Option<Gid>,
    /// The kernel checks permissions by mode.
    pub(crate) default_permissions: bool,
    /// Others than who mounts may use it.
    pub(crate) allow_other: bool,
    /// Most bytes of a READ.
    pub(crate) max_read: u32,
    /// Block size of the device in bytes.
    pub(crate) block_size: u32,
    /// What stands after the dot in the type.
    pub(crate) subtype: Option<CString>,
    /// Which files are to be in the DAX window.
    pub(crate) dax: dax::Mode,
}

const DEFAULT_BLOCK_SIZE: u32 = 512;

/// The type bits of a directory.
const DIRECTORY: u16 = 0o040_000;

impl Config {
    /// Nothing said yet.
    pub(crate) fn new(kind: Kind, control: Arc<Control>) -> Self {
        Self {
            control,
            kind,
            server: None,
            // That of a device is a directory.
            root_mode: (kind == Kind::OfSystem).then_some(DIRECTORY),
            user_id: None,
            group_id: None,
            default_permissions: kind == Kind::OfSystem,
            allow_other: kind == Kind::OfSystem,
            max_read: u32::MAX,
            block_size: DEFAULT_BLOCK_SIZE,
            subtype: None,
            dax: dax::Mode::Unsaid,
        }
    }
}

macro_rules! options {
    ($($variant:ident $name:literal $kind:ident;)*) => {
        #[derive(Clone, Copy)]
        enum Name {
            $($variant,)*
        }

        const NAMES: &[Name] = &[$(Name::$variant),*];

        /// The options, in the order of `Name`.
        const SPECS: &[OptionSpec] = &[$(OptionSpec {
            name: $name,
            kind: OptionKind::$kind,
        }),*];
    };
}

options! {
    Dax c"dax" Flag;
    DaxMode c"dax" String;
    Source c"source" String;
    Fd c"fd" Fd;
    RootMode c"rootmode" Octal;
    UserId c"user_id" Uid;
    GroupId c"group_id" Gid;
    DefaultPermissions c"default_permissions" Flag;
    AllowOther c"allow_other" Flag;
    MaxRead c"max_read" U32;
    BlockSize c"blksize" U32;
    Subtype c"subtype" String;
}

/// Only mounts of a device have the options before this.
const FIRST: usize = 2;
/// Only mounts with a device file have this option and those behind it.
const FIRST_OF_FILES: usize = 3;

/// The options of a mount with a device file.
pub(crate) static OPTIONS: Options = Options::new(SPECS.split_at(FIRST).1);

/// The options of a mount of a device.
pub(crate) static DEVICE_OPTIONS: Options = Options::new(SPECS.split_at(FIRST_OF_FILES).0);

/// Takes one option.
pub(crate) fn set(
    config: &mut Config,
    index: usize,
    value: OptionValue<'_>,
    log: &MountLog<'_>,
) -> Result {
    let first = match config.kind {
        Kind::OfUsers | Kind::OnBlockDevice => FIRST,
        Kind::OfSystem => 0,
    };
    let name = NAMES.get(first.saturating_add(index)).ok_or(EINVAL)?;
    match (name, value) {
        (Name::Dax, OptionValue::Flag) => config.dax = dax::Mode::Always,
        (Name::DaxMode, OptionValue::String(name)) => {
            let mode = dax::Mode::named(name);
            config.dax = mode.ok_or_else(|| log.invalid(c"dax is always, never or inode"))?;
        }
        (Name::Fd, OptionValue::File(file)) => {
            if config.server.is_some() {
                return Err(log.invalid(c"Multiple fd specified"));
            }
            let server = file
                .device::<ServerFile>()
                .ok_or_else(|| log.invalid(c"fd is not a fuse device"))?
                .0;
            // Identities the server sees are those of the mount's namespace.
            if !file.opened_in(&log.user_namespace()?) {
                return Err(log.invalid(c"wrong user namespace for fuse device"));
            }
            config.server = Some(Server::File(server));
        }
        (Name::RootMode, OptionValue::U32(mode)) => {
            let mode = u16::try_from(mode)
                .ok()
                .filter(|mode| FileType::from_mode((*mode).into()).is_some());
            config.root_mode = Some(mode.ok_or_else(|| log.invalid(c"Invalid rootmode"))?);
        }
        (Name::UserId, OptionValue::Uid(uid)) => {
            if !log.user_namespace()?.has_uid(uid) {
                return Err(log.invalid(c"Invalid user_id"));
            }
            config.user_id = Some(uid);
        }
        (Name::GroupId, OptionValue::Gid(gid)) => {
            if !log.user_namespace()?.has_gid(gid) {
                return Err(log.invalid(c"Invalid group_id"));
            }
            config.group_id = Some(gid);
        }
        (Name::DefaultPermissions, OptionValue::Flag) => config.default_permissions = true,
        (Name::AllowOther, OptionValue::Flag) => config.allow_other = true,
        (Name::MaxRead, OptionValue::U32(max)) => config.max_read = max,
        (Name::BlockSize, OptionValue::U32(size)) => {
            if config.kind != Kind::OnBlockDevice {
                return Err(log.invalid(c"blksize is for fuseblk only"));
            }
            if !size.is_power_of_two() {
                return Err(log.invalid(c"blksize is not a power of two"));
            }
            config.block_size = size;
        }
        (Name::Subtype, OptionValue::String(text)) => {
            if config.subtype.is_some() {
                return Err(log.invalid(c"Multiple subtypes specified"));
            }
            config.subtype = Some(text.try_into()?);
        }
        _ => return Err(EINVAL),
    }
    Ok(())
}

/// What of the options matters after mounting.
pub(crate) struct MountOptions {
    /// Who mounts.
    pub(crate) user_id: Uid,
    /// The group of who mounts.
    pub(crate) group_id: Gid,
    /// The kernel checks permissions by mode.
    pub(crate) default_permissions: bool,
    /// Others than who mounts may use it.
    pub(crate) allow_other: bool,
    /// Most bytes of a READ.
    pub(crate) max_read: u32,
    /// Block size in bytes, of a mount on a block device.
    pub(crate) block_size: Option<u32>,
    /// Who may mount, and on what.
    pub(crate) kind: Kind,
    /// Which files are to be in the DAX window.
    pub(crate) dax: dax::Mode,
}

impl MountOptions {
    /// From a complete configuration.
    ///
    /// # Errors
    ///
    /// `EINVAL` when an option that every mount needs is missing.
    pub(crate) fn from_config(config: &Config, log: &MountLog<'_>) -> Result<Self> {
        let is_device = config.kind == Kind::OfSystem;
        let user_id = config.user_id.or(is_device.then_some(Uid::ROOT));
        let group_id = config.group_id.or(is_device.then_some(Gid::ROOT));
        Ok(Self {
            user_id: user_id.ok_or_else(|| log.invalid(c"No user_id specified"))?,
            group_id: group_id.ok_or_else(|| log.invalid(c"No group_id specified"))?,
            default_permissions: config.default_permissions,
            allow_other: config.allow_other,
            max_read: config.max_read.max(4096),
            block_size: (config.kind == Kind::OnBlockDevice).then_some(config.block_size),
            kind: config.kind,
            dax: config.dax,
        })
    }

    /// Whether only an administrator can have started the server: others may be let wait for it.
    pub(crate) fn trusts_server(&self) -> bool {
        self.kind != Kind::OfUsers
    }

    /// The default block size, which is not shown.
    pub(crate) const DEFAULT_BLOCK_SIZE: u32 = DEFAULT_BLOCK_SIZE;
}
