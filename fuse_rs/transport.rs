// SPDX-License-Identifier: GPL-2.0

//! How requests reach a server and replies come back. Knows nothing of file systems.

pub(crate) mod chardev;
pub(crate) mod virtio;

use crate::connection::Connection;
use crate::prelude::*;
use chardev::ServerFile;
use kernel_glue::dax::device::Device as Memory;
use kernel_glue::virtio::driver::Device;
use virtio::device;
use virtio::device::FsDevice;

/// Where a server is.
pub(crate) enum Server {
    /// It reads from a device file.
    File(Arc<ServerFile>),
    /// It is behind a virtio device.
    Device(Arc<Device<FsDevice>>),
}

impl Server {
    /// Whether it is mounted.
    pub(crate) fn is_in_use(&self) -> bool {
        match self {
            Self::File(file) => file.is_attached(),
            Self::Device(device) => device.is_mounted(),
        }
    }

    /// Whether it is mounted by who has this connection.
    pub(crate) fn serves(&self, connection: &Arc<Connection>) -> bool {
        match self {
            Self::File(file) => file.serves(connection),
            Self::Device(device) => device.serves(connection),
        }
    }

    /// Makes it serve `connection`.
    ///
    /// # Errors
    ///
    /// Those of [`ServerFile::attach`] and [`device::attach`].
    pub(crate) fn attach(&self, connection: &Arc<Connection>) -> Result {
        match self {
            Self::File(file) => file.attach(connection),
            Self::Device(device) => device::attach(device, connection),
        }
    }

    /// Memory in which it can show files, if there is any.
    pub(crate) fn window(&self) -> Option<&Arc<Memory>> {
        match self {
            Self::File(_) => None,
            Self::Device(device) => device.window(),
        }
    }

    /// Most pages of a request, unless others say less.
    pub(crate) fn max_pages(&self) -> u16 {
        match self {
            Self::File(_) => u16::MAX,
            Self::Device(device) => device::max_pages(device),
        }
    }
}
