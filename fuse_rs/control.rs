// SPDX-License-Identifier: GPL-2.0

//! What an administrator sees and sets: the control file system, and limits for servers in
//! /proc/sys and in the module's parameters.
//!
//! `mount -t fusectl` shows a directory per connection, named by the device number of its mount.
//! Its files are described in the kernel's Documentation/filesystems/fuse/fuse.rst.

use crate::connection::Connection;
use crate::connection::End;
use crate::prelude::*;
use crate::transport::virtio::device::Devices;
use kernel::new_mutex;
use kernel::sync::Mutex;
use kernel_glue::sys;
use kernel_glue::sysctl::Number;
use kernel_glue::sysctl::Numbers;
use kernel_glue::sysctl::Sysctl;
use kernel_glue::vfs::caller;
use kernel_glue::vfs::caller::Gid;
use kernel_glue::vfs::caller::Uid;
use kernel_glue::vfs::value_tree::Directory;
use kernel_glue::vfs::value_tree::ObjectId;
use kernel_glue::vfs::value_tree::ValueFile;
use kernel_glue::vfs::value_tree::ValueKind;
use kernel_glue::vfs::value_tree::ValueTree;

/// Bytes of memory for which a server without privileges may have one background request, as with
/// the C driver: requests of 392 bytes may take a part of memory in 8192.
const BYTES_PER_REQUEST: u64 = 392 * 8192;

/// What servers without privileges may ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserLimits {
    /// Background requests.
    pub(crate) max_background: u16,
    /// Background requests that count as congestion.
    pub(crate) congestion_threshold: u16,
}

impl UserLimits {
    /// From module parameters, where zero stands for a limit by the size of memory.
    pub(crate) fn new(max_background: u32, congestion_threshold: u32) -> Self {
        let choose = |wanted: u32| {
            let wanted = match wanted {
                0 => sys::memory_bytes() / BYTES_PER_REQUEST,
                set => u64::from(set),
            };
            u16::try_from(wanted).unwrap_or(u16::MAX)
        };
        Self {
            max_background: choose(max_background),
            congestion_threshold: choose(congestion_threshold),
        }
    }
}

macro_rules! settings {
    ($($setting:ident $name:literal $first:literal $min:literal $max:expr;)*) => {
        #[derive(Clone, Copy)]
        enum Setting {
            $($setting,)*
        }

        const SETTINGS_LEN: usize = [$(Setting::$setting),*].len();

        /// In the order of `Setting`.
        static SETTINGS: [Number; SETTINGS_LEN] = [$(Number {
            name: $name,
            first: $first,
            min: $min,
            max: $max as u32,
        }),*];
    };
}

settings! {
    MaxPagesLimit c"max_pages_limit" 256 1 u16::MAX;
    DefaultRequestTimeout c"default_request_timeout" 0 0 u16::MAX;
    MaxRequestTimeout c"max_request_timeout" 0 0 u16::MAX;
    InvalWq c"inval_wq" 0 0 u16::MAX;
    AllowSysAdminAccess c"allow_sys_admin_access" 0 0 1;
    CopyAfter c"copy_after" 20 0 u16::MAX;
}

/// The values of `SETTINGS`.
pub(crate) type Settings = Numbers<SETTINGS_LEN>;

/// Lets the settings be set.
pub(crate) type SettingsFiles = Sysctl<SETTINGS_LEN>;

/// A connection that can be seen.
struct Entry {
    number: u32,
    id: ObjectId,
    owner: Uid,
    group: Gid,
    connection: Arc<Connection>,
}

/// What all mounts share.
#[pin_data]
pub(crate) struct Control {
    /// In the order of their numbers.
    #[pin]
    entries: Mutex<KVec<Entry>>,
    next_id: Atomic<u64>,
    limits: UserLimits,
    numbers: Arc<Settings>,
    devices: Arc<Devices>,
}

/// Keeps a connection visible.
pub(crate) struct Listing {
    control: Arc<Control>,
    id: ObjectId,
}

impl Drop for Listing {
    fn drop(&mut self) {
        let removed = {
            let mut entries = self.control.entries.lock();
            let index = entries.iter().position(|entry| entry.id == self.id);
            index.and_then(|index| entries.remove(index).ok())
        };
        drop(removed);
    }
}

impl Control {
    /// Nothing to see yet.
    pub(crate) fn new(limits: UserLimits) -> Result<Arc<Self>> {
        let numbers = Settings::new(&SETTINGS)?;
        let devices = Devices::new()?;
        Arc::pin_init(
            pin_init!(Self {
                entries <- new_mutex!(KVec::new(), "fuse_rs::Control::entries"),
                // Zero is the root.
                next_id: Atomic::new(1),
                limits,
                numbers,
                devices,
            }),
            GFP_KERNEL,
        )
    }

    /// What servers without privileges may ask for.
    pub(crate) fn limits(&self) -> UserLimits {
        self.limits
    }

    /// The virtio-fs devices.
    pub(crate) fn devices(&self) -> &Arc<Devices> {
        &self.devices
    }

    /// What an administrator sets in /proc/sys.
    pub(crate) fn settings(&self) -> &Arc<Settings> {
        &self.numbers
    }

    /// Administrators of the system may use every mount.
    pub(crate) fn lets_administrators_in(&self) -> bool {
        self.setting(Setting::AllowSysAdminAccess) != 0
    }

    fn setting(&self, setting: Setting) -> u32 {
        self.numbers.get(setting as usize)
    }

    /// Most pages per request, for any server.
    pub(crate) fn max_pages_limit(&self) -> u16 {
        u16::try_from(self.setting(Setting::MaxPagesLimit)).unwrap_or(u16::MAX)
    }

    /// Seconds for a request of servers that do not say; zero for no limit.
    pub(crate) fn default_request_timeout(&self) -> u32 {
        self.setting(Setting::DefaultRequestTimeout)
    }

    /// Most seconds for a request, for any server; zero for no limit.
    pub(crate) fn max_request_timeout(&self) -> u32 {
        self.setting(Setting::MaxRequestTimeout)
    }

    /// After how many seconds it is looked for names whose time is over; zero for never.
    pub(crate) fn inval_wq(&self) -> u32 {
        self.setting(Setting::InvalWq)
    }

    /// For how many milliseconds dirty pages are lent to their WRITEs before they are copied; zero for
    /// not at all.
    pub(crate) fn copy_after(&self) -> u32 {
        self.setting(Setting::CopyAfter)
    }

    /// Shows `connection` as `number` as long as the returned value lives.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn list(
        self: &Arc<Self>,
        number: u32,
        (owner, group): (Uid, Gid),
        connection: &Arc<Connection>,
    ) -> Result<Listing> {
        let id = ObjectId::nth(self.next_id.fetch_add(1, Relaxed)).ok_or(ENOMEM)?;
        let entry = Entry {
            number,
            id,
            owner,
            group,
            connection: connection.clone(),
        };
        let mut entries = self.entries.lock();
        entries.reserve(1, GFP_KERNEL)?;
        let place = entries
            .iter()
            .position(|other| other.number > number)
            .unwrap_or(entries.len());
        entries
            .insert_within_capacity(place, entry)
            .map_err(|_| ENOMEM)?;
        drop(entries);
        Ok(Listing {
            control: self.clone(),
            id,
        })
    }

    fn connection(&self, id: ObjectId) -> Option<Arc<Connection>> {
        let entries = self.entries.lock();
        let entry = entries.iter().find(|entry| entry.id == id)?;
        Some(entry.connection.clone())
    }
}

/// The files of a connection, in the order of `FILES`.
#[derive(Clone, Copy)]
enum File {
    Waiting,
    Abort,
    MaxBackground,
    CongestionThreshold,
    TemporaryPages,
}

const ORDER: [File; 5] = [
    File::Waiting,
    File::Abort,
    File::MaxBackground,
    File::CongestionThreshold,
    File::TemporaryPages,
];

const fn file(name: &'static [u8], mode: u16, kind: ValueKind) -> ValueFile {
    ValueFile { name, mode, kind }
}

impl ValueTree for Control {
    const MAGIC: u64 = 0x6573_5543;
    const FILES: &'static [ValueFile] = &[
        file(b"waiting", 0o400, ValueKind::Number),
        file(b"abort", 0o200, ValueKind::Trigger),
        file(b"max_background", 0o600, ValueKind::Number),
        file(b"congestion_threshold", 0o600, ValueKind::Number),
        file(b"temporary_pages", 0o400, ValueKind::Number),
    ];

    fn directories(&self) -> usize {
        self.entries.lock().len()
    }

    fn directory_from(&self, from: u32) -> Option<Directory> {
        let entries = self.entries.lock();
        let entry = entries.iter().find(|entry| entry.number >= from)?;
        Some(Directory {
            number: entry.number,
            id: entry.id,
            owner: entry.owner,
            group: entry.group,
        })
    }

    fn exists(&self, id: ObjectId) -> bool {
        self.entries.lock().iter().any(|entry| entry.id == id)
    }

    fn read(&self, id: ObjectId, file: usize) -> Option<u64> {
        let connection = self.connection(id)?;
        match ORDER.get(file)? {
            File::Waiting => Some(connection.waiting()),
            File::Abort => None,
            File::MaxBackground => Some(connection.max_background().into()),
            File::CongestionThreshold => Some(connection.congestion_threshold().into()),
            File::TemporaryPages => Some(connection.temporary_pages()),
        }
    }

    fn write(&self, id: ObjectId, file: usize, value: u64) -> Result {
        let Some(connection) = self.connection(id) else {
            return Ok(());
        };
        let bounded = |limit: u16| {
            let limit = if caller::may_administer() {
                u16::MAX
            } else {
                limit
            };
            u16::try_from(value)
                .ok()
                .filter(|value| *value <= limit)
                .ok_or(EINVAL)
        };
        match ORDER.get(file).ok_or(EINVAL)? {
            File::Waiting | File::TemporaryPages => Err(EINVAL),
            File::Abort => {
                connection.end(End::Aborted);
                Ok(())
            }
            File::MaxBackground => {
                connection.set_max_background(bounded(self.limits.max_background)?);
                Ok(())
            }
            File::CongestionThreshold => {
                connection.set_congestion_threshold(bounded(self.limits.congestion_threshold)?);
                Ok(())
            }
        }
    }
}
