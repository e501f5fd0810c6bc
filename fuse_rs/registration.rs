// SPDX-License-Identifier: GPL-2.0

//! What the module registers with the kernel.

use crate::control::Control;
use crate::control::SettingsFiles;
use crate::control::UserLimits;
use crate::filesystem::late;
use crate::filesystem::Fuse;
use crate::filesystem::INODES;
use crate::prelude::*;
use crate::transport::chardev;
use crate::transport::chardev::ServerFile;
use crate::transport::virtio::device;
use crate::transport::virtio::device::FsDevice;
use kernel_glue::dev::Registration;
use kernel_glue::sync::own_queue::OwnQueueOwner;
use kernel_glue::sync::own_queue::QueueKind;
use kernel_glue::vfs::fs_type::FsType;
use kernel_glue::vfs::fs_type::Registered;
use kernel_glue::vfs::fs_type::OF_SYSTEM;
use kernel_glue::vfs::fs_type::OF_USERS;
use kernel_glue::vfs::fs_type::ON_BLOCK_DEVICE;
use kernel_glue::vfs::inode_cache::InodeCacheOwner;
use kernel_glue::vfs::sysfs::MountPoint;
use kernel_glue::vfs::value_tree::ValueTreeType;
use kernel_glue::virtio::driver;

static FUSE: FsType<Fuse, OF_USERS> = FsType::new();
static FUSEBLK: FsType<Fuse, ON_BLOCK_DEVICE> = FsType::new();
static VIRTIOFS: FsType<Fuse, OF_SYSTEM> = FsType::new();
static FUSECTL: ValueTreeType<Control> = ValueTreeType::new();

/// A set of names.
struct Names {
    fuse: &'static CStr,
    fuseblk: &'static CStr,
    virtiofs: &'static CStr,
    fusectl: &'static CStr,
    settings: &'static CStr,
    device: &'static CStr,
    minor: Option<u8>,
}

/// The names programs know.
const REAL: Names = Names {
    fuse: c"fuse",
    fuseblk: c"fuseblk",
    virtiofs: c"virtiofs",
    fusectl: c"fusectl",
    settings: c"fs/fuse",
    device: c"fuse",
    minor: Some(chardev::MINOR),
};

/// Names beside those of another driver.
const OWN: Names = Names {
    fuse: c"fuse_rs",
    fuseblk: c"fuseblk_rs",
    virtiofs: c"virtiofs_rs",
    fusectl: c"fusectl_rs",
    settings: c"fs/fuse_rs",
    device: c"fuse_rs",
    minor: None,
};

/// Everything that is registered. Dropped in this order: first what lets new users in.
pub(crate) struct Registrations {
    _device: Pin<KBox<Registration<ServerFile>>>,
    _driver: Pin<KBox<driver::Registration<FsDevice>>>,
    _settings: SettingsFiles,
    _sysfs: MountPoint,
    _fusectl: Registered<Control>,
    _virtiofs: Registered<Control>,
    _fuseblk: Registered<Control>,
    _fuse: Registered<Control>,
    // Behind those whose super blocks use it.
    _late: OwnQueueOwner,
    _returns: OwnQueueOwner,
    _inodes: InodeCacheOwner<Fuse>,
}

/// Fails at a step chosen by whoever tests that every step is undone.
struct Steps {
    left: u32,
}

impl Steps {
    fn next(&mut self) -> Result {
        match self.left {
            0 => Ok(()),
            1 => Err(ENOMEM),
            n => {
                self.left = n.saturating_sub(1);
                Ok(())
            }
        }
    }
}

impl Registrations {
    /// Registers everything, or nothing. `choice` and `fail_at` are the module's parameters.
    pub(crate) fn new(
        module: &'static ThisModule,
        choice: u32,
        fail_at: u32,
        limits: UserLimits,
    ) -> Result<Self> {
        match choice {
            0 => match Self::with(&REAL, module, fail_at, limits) {
                Err(EBUSY) => Self::with(&OWN, module, fail_at, limits),
                other => other,
            },
            1 => Self::with(&REAL, module, fail_at, limits),
            2 => Self::with(&OWN, module, fail_at, limits),
            _ => Err(EINVAL),
        }
    }

    fn with(
        names: &Names,
        module: &'static ThisModule,
        fail_at: u32,
        limits: UserLimits,
    ) -> Result<Self> {
        let control = Control::new(limits)?;
        let mut steps = Steps { left: fail_at };
        steps.next()?;
        let inodes = INODES.create(c"fuse_rs_inode")?;
        steps.next()?;
        let late = late::QUEUE.create(c"fuse_rs_late", QueueKind::Long)?;
        steps.next()?;
        let returns = device::QUEUE.create(c"fuse_rs_virtio", QueueKind::Prompt)?;
        steps.next()?;
        let fuse = FUSE.register(names.fuse, module, control.clone())?;
        steps.next()?;
        let fuseblk = FUSEBLK.register(names.fuseblk, module, control.clone())?;
        steps.next()?;
        let virtiofs = VIRTIOFS.register(names.virtiofs, module, control.clone())?;
        steps.next()?;
        let fusectl = FUSECTL.register(names.fusectl, module, control.clone())?;
        steps.next()?;
        let sysfs = MountPoint::new(names.fuse, c"connections")?;
        steps.next()?;
        let settings = SettingsFiles::register(names.settings, control.settings().clone())?;
        steps.next()?;
        control.devices().show_in(names.virtiofs)?;
        steps.next()?;
        let driver = driver::Registration::new(names.virtiofs, module, control.devices().clone());
        let driver = KBox::pin_init(driver, GFP_KERNEL)?;
        steps.next()?;
        let device = KBox::pin_init(
            Registration::register(names.device, names.minor),
            GFP_KERNEL,
        )?;
        steps.next()?;
        pr_info!(
            "FUSE client: type {}, device /dev/{}\n",
            names.fuse.to_str().unwrap_or("?"),
            names.device.to_str().unwrap_or("?")
        );
        Ok(Self {
            _device: device,
            _driver: driver,
            _settings: settings,
            _sysfs: sysfs,
            _fusectl: fusectl,
            _virtiofs: virtiofs,
            _fuseblk: fuseblk,
            _fuse: fuse,
            _late: late,
            _returns: returns,
            _inodes: inodes,
        })
    }
}
