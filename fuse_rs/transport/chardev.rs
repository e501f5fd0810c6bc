// SPDX-License-Identifier: GPL-2.0

//! The device file of servers.

mod read;
mod write;

use crate::connection::Connection;
use crate::connection::End;
use crate::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::seq_print;
use kernel::sync::ArcBorrow;
use kernel::sync::SetOnce;
use kernel_glue::dev::device_operations;
use kernel_glue::dev::fasync::FasyncList;
use kernel_glue::dev::Device;
use kernel_glue::dev::IoctlArgument;
use kernel_glue::dev::Readiness;
use kernel_glue::sync::wait::WaitQueue;
use kernel_glue::uio::MessageSink;

/// Minor number of /dev/fuse.
pub(crate) const MINOR: u8 = 229;

static NEXT_ID: Atomic<u64> = Atomic::new(1);

/// An open device file.
pub(crate) struct ServerFile {
    /// Tells the device files of a connection apart.
    id: u64,
    connection: SetOnce<Arc<Connection>>,
    /// The file has been closed; whoever attaches it now is too late.
    closed: Atomic<bool>,
    /// The connection does not count the file any more.
    detached: Atomic<bool>,
}

/// ioctls of the device, by number: `_IOR(229, 0, uint32_t)` attaches to another file's
/// connection.
const IOC_CLONE: u32 = 0x8004_e500;

impl ServerFile {
    /// The connection the file serves.
    fn connection(&self) -> Result<&Arc<Connection>> {
        self.connection.as_ref().ok_or(EPERM)
    }

    /// Makes the file serve `connection`.
    ///
    /// # Errors
    ///
    /// `EINVAL` when it serves one already; `ENOTCONN` when it has been closed meanwhile.
    pub(crate) fn attach(&self, connection: &Arc<Connection>) -> Result {
        // Counted first: a connection ends when it has no device left.
        connection.add_device();
        if !self.connection.populate(connection.clone()) {
            connection.remove_device(self.id);
            return Err(EINVAL);
        }
        // Of this and `release`, the later one sees what the earlier has done.
        if self.closed.cmpxchg(false, false, Full).is_err() {
            self.detach(connection);
            return Err(ENOTCONN);
        }
        Ok(())
    }

    fn detach(&self, connection: &Arc<Connection>) {
        if !self.detached.xchg(true, Full) {
            connection.remove_device(self.id);
        }
    }

    /// Whether the file serves this connection.
    pub(crate) fn serves(&self, connection: &Arc<Connection>) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|mine| Arc::ptr_eq(mine, connection))
    }

    /// Whether the file serves a connection.
    pub(crate) fn is_attached(&self) -> bool {
        self.connection.as_ref().is_some()
    }
}

/// What reading from an ended connection gives.
fn ended(connection: &Connection, how: End) -> Error {
    use fuse_pure::abi::init::InitFlags;
    if how == End::Aborted && connection.has(InitFlags::ABORT_ERROR) {
        ECONNABORTED
    } else {
        ENODEV
    }
}

device_operations!(ServerFile);

#[vtable]
impl Device for ServerFile {
    fn open() -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                id: NEXT_ID.fetch_add(1, Relaxed),
                connection: SetOnce::new(),
                closed: Atomic::new(false),
                detached: Atomic::new(false),
            },
            GFP_KERNEL,
        )?)
    }

    fn release(this: Arc<Self>) {
        this.closed.xchg(true, Full);
        if let Ok(connection) = this.connection() {
            this.detach(connection);
        }
    }

    fn read(this: ArcBorrow<'_, Self>, to: &mut dyn MessageSink, nonblock: bool) -> Result<usize> {
        this.read_message(to, nonblock)
    }

    fn write(this: ArcBorrow<'_, Self>, from: &mut IovIterSource<'_>) -> Result<usize> {
        this.write_message(from)
    }

    fn poll_queue(this: &Self) -> Option<&WaitQueue> {
        Some(&this.connection().ok()?.readable)
    }

    fn readiness(this: ArcBorrow<'_, Self>) -> Readiness {
        let Ok(connection) = this.connection() else {
            return Readiness {
                error: true,
                ..Readiness::default()
            };
        };
        let queue = connection.queue.lock();
        let error = queue.end().is_some();
        Readiness {
            readable: !error && !queue.is_empty(),
            writable: !error,
            error,
        }
    }

    fn fasync(this: &Self) -> Result<&FasyncList> {
        Ok(&this.connection()?.fasync)
    }

    fn show_info(this: &Self, out: &SeqFile) {
        if let Some(number) = this.connection().ok().and_then(|c| c.number.as_ref()) {
            seq_print!(out, "fuse_connection:\t{}\n", number);
        }
    }

    fn ioctl(this: ArcBorrow<'_, Self>, command: u32, argument: IoctlArgument) -> Result {
        match command {
            IOC_CLONE => {
                let other = argument.device_file::<Self>()?.0;
                this.attach(other.connection()?)
            }
            _ => Err(ENOTTY),
        }
    }
}
