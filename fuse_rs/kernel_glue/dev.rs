// SPDX-License-Identifier: GPL-2.0

//! Character devices with a minor number of their own among the miscellaneous devices.

pub mod fasync;

use crate::bindings;
use crate::pipe::PipeSink;
use crate::pipe::TakenMessage;
use crate::sync::wait::WaitQueue;
use crate::uio::MessageSink;
use core::marker::PhantomData;
use core::ptr::NonNull;
use fasync::FasyncList;
use kernel::error::to_result;
use kernel::iov::IovIterDest;
use kernel::iov::IovIterSource;
use kernel::module::this_module;
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::sync::Arc;
use kernel::sync::ArcBorrow;
use kernel::sync::SetOnce;
use kernel::types::Opaque;

/// What a device is ready for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Something can be read.
    pub readable: bool,
    /// Something can be written.
    pub writable: bool,
    /// The device is of no use any more.
    pub error: bool,
}

/// A device.
#[vtable]
pub trait Device: Sized + Send + Sync + 'static {
    /// The module that owns the device.
    type OwnerModule: kernel::ModuleMetadata;

    /// A process opens the device.
    fn open() -> Result<Arc<Self>>;

    /// The last reference to an open file is gone.
    fn release(this: Arc<Self>);

    /// Reads one message.
    fn read(this: ArcBorrow<'_, Self>, to: &mut dyn MessageSink, nonblock: bool) -> Result<usize>;

    /// Writes one message.
    fn write(this: ArcBorrow<'_, Self>, from: &mut IovIterSource<'_>) -> Result<usize>;

    /// Who is woken when [`Device::readiness`] changes; none if the device is of no use.
    fn poll_queue(this: &Self) -> Option<&WaitQueue>;

    /// What the device is ready for.
    fn readiness(this: ArcBorrow<'_, Self>) -> Readiness;

    /// Who gets a signal when something can be read. Asked once per open file.
    fn fasync(this: &Self) -> Result<&FasyncList>;

    /// Prints lines for /proc/PID/fdinfo.
    fn show_info(this: &Self, out: &SeqFile);

    /// Another request.
    fn ioctl(this: ArcBorrow<'_, Self>, command: u32, argument: IoctlArgument) -> Result;
}

/// The C callbacks of a device. Its address tells files of this device from all others.
pub struct OperationsTable<D> {
    table: bindings::file_operations,
    _device: PhantomData<D>,
}

// SAFETY: Nobody writes to the table, and what it points to may be used on any thread.
unsafe impl<D> Sync for OperationsTable<D> {}

impl<D: Device> OperationsTable<D> {
    /// The table of `D`.
    #[expect(clippy::new_without_default, reason = "made in a constant")]
    pub const fn new() -> Self {
        Self {
            table: bindings::file_operations {
                owner: this_module::<D::OwnerModule>().as_ptr(),
                open: Some(open::<D>),
                release: Some(release::<D>),
                read_iter: Some(read_iter::<D>),
                write_iter: Some(write_iter::<D>),
                splice_read: Some(splice_read::<D>),
                splice_write: Some(splice_write::<D>),
                show_fdinfo: Some(show_fdinfo::<D>),
                poll: Some(poll::<D>),
                fasync: Some(fasync_op::<D>),
                unlocked_ioctl: Some(ioctl::<D>),
                compat_ioctl: Some(ioctl::<D>),
                ..pin_init::zeroed()
            },
            _device: PhantomData,
        }
    }
}

/// A device that has a table of C callbacks; implemented by [`device_operations`].
///
/// # Safety
///
/// [`DeviceOperations::operations`] returns a reference to a static item: no other static has its
/// address, whatever is in it, and all uses see the same one. Constants promise neither.
///
/// [`device_operations`]: crate::dev::device_operations
pub unsafe trait DeviceOperations: Device {
    /// The table.
    fn operations() -> &'static OperationsTable<Self>;
}

/// Makes the table of a [`Device`].
#[macro_export]
macro_rules! device_operations {
    ($device:ty) => {
        // SAFETY: The table is a static item.
        unsafe impl $crate::dev::DeviceOperations for $device {
            fn operations() -> &'static $crate::dev::OperationsTable<Self> {
                static TABLE: $crate::dev::OperationsTable<$device> =
                    $crate::dev::OperationsTable::new();
                &TABLE
            }
        }
    };
}
pub use device_operations;

/// The argument of an ioctl.
pub struct IoctlArgument(usize);

impl IoctlArgument {
    /// Reads the number the argument points to.
    fn read_u32(&self) -> Result<u32> {
        let mut value = 0;
        // SAFETY: Reads from user space, checked.
        to_result(unsafe { bindings::fuse_rs_helper_get_user_u32(&mut value, self.0) })?;
        Ok(value)
    }

    /// The device file whose descriptor the argument points to.
    pub fn device_file<D: DeviceOperations>(&self) -> Result<DeviceFile<D>> {
        let fd = self.read_u32()?;
        // SAFETY: The reference is dropped below.
        let file = NonNull::new(unsafe { bindings::fget(fd) }).ok_or(EINVAL)?;
        // SAFETY: We own a reference to the file.
        let device = unsafe { DeviceFile::from_file(file.as_ptr()) };
        // SAFETY: We give our reference up.
        unsafe { bindings::fput(file.as_ptr()) };
        device.ok_or(EINVAL)
    }
}

/// The state of an open device file.
pub struct DeviceFile<D: Device>(pub Arc<D>);

impl<D: DeviceOperations> DeviceFile<D> {
    /// The state of `file` if it is a `D`.
    ///
    /// # Safety
    ///
    /// `file` is valid during the call.
    pub(crate) unsafe fn from_file(file: *mut bindings::file) -> Option<Self> {
        // SAFETY: By the safety requirements. Only files of the device have a table at this
        // address, and they have an `Opened` as private data from open to release.
        unsafe {
            if !core::ptr::eq((*file).f_op, &raw const D::operations().table) {
                return None;
            }
            Some(Self(opened::<D>(file).state.clone()))
        }
    }
}

/// A registered device; dropping it unregisters.
#[pin_data(PinnedDrop)]
pub struct Registration<D: Device> {
    #[pin]
    misc: Opaque<bindings::miscdevice>,
    _device: PhantomData<D>,
}

// SAFETY: Registration and removal may happen on different threads.
unsafe impl<D: Device> Send for Registration<D> {}
// SAFETY: Nothing can be done with a shared reference.
unsafe impl<D: Device> Sync for Registration<D> {}

impl<D: DeviceOperations> Registration<D> {
    /// Registers the device as /dev/`name`, open to everybody. `minor` of `None` takes any.
    ///
    /// # Errors
    ///
    /// `EBUSY` when the minor number is taken.
    pub fn register(name: &'static CStr, minor: Option<u8>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            misc <- Opaque::try_ffi_init(move |slot: *mut bindings::miscdevice| {
                // SAFETY: `slot` is valid for writing and stays where it is until it is
                // deregistered in `drop`.
                unsafe {
                    slot.write(pin_init::zeroed());
                    (*slot).minor = minor.map_or(bindings::MISC_DYNAMIC_MINOR as i32, i32::from);
                    (*slot).name = name.as_char_ptr();
                    (*slot).fops = &raw const D::operations().table;
                    (*slot).mode = 0o666;
                    to_result(bindings::misc_register(slot))
                }
            }),
            _device: PhantomData,
        })
    }
}

#[pinned_drop]
impl<D: Device> PinnedDrop for Registration<D> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The device was registered; open files hold the module, so none is left.
        unsafe { bindings::misc_deregister(self.misc.get()) };
    }
}

/// What hangs on an open file, from open to release.
struct Opened<D> {
    state: Arc<D>,
    /// The list the file is in or has been in; always the same one, so that it is found again
    /// when the file is closed.
    signals: SetOnce<NonNull<FasyncList>>,
}

/// What hangs on an open file.
///
/// # Safety
///
/// `file` is an open file of the device that is not released during `'a`.
unsafe fn opened<'a, D: Device>(file: *mut bindings::file) -> &'a Opened<D> {
    // SAFETY: By the safety requirements; it is only shared until it is released.
    unsafe { &*(*file).private_data.cast::<Opened<D>>() }
}

/// The state of an open file.
///
/// # Safety
///
/// As for [`opened`].
unsafe fn state<'a, D: Device>(file: *mut bindings::file) -> ArcBorrow<'a, D> {
    // SAFETY: By the safety requirements.
    unsafe { opened::<D>(file) }.state.as_arc_borrow()
}

/// # Safety
///
/// Called by the VFS with a file that is being opened.
unsafe extern "C" fn open<D: Device>(_: *mut bindings::inode, file: *mut bindings::file) -> i32 {
    c_result!({
        let opened = Opened {
            state: D::open()?,
            signals: SetOnce::new(),
        };
        let opened = KBox::new(opened, GFP_KERNEL)?;
        // SAFETY: By the safety requirements.
        unsafe { (*file).private_data = KBox::into_raw(opened).cast() };
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with a file of the device that nobody uses any more.
unsafe extern "C" fn release<D: Device>(_: *mut bindings::inode, file: *mut bindings::file) -> i32 {
    // SAFETY: The private data came from `KBox::into_raw` in `open`, and nobody uses it any more.
    let opened = unsafe { KBox::from_raw((*file).private_data.cast::<Opened<D>>()) };
    D::release(KBox::into_inner(opened).state);
    0
}

/// # Safety
///
/// Called by the VFS with a file of the device and where the data is to go.
unsafe extern "C" fn read_iter<D: Device>(
    kiocb: *mut bindings::kiocb,
    to: *mut bindings::iov_iter,
) -> isize {
    c_result!({
        // SAFETY: By the safety requirements.
        unsafe {
            let file = (*kiocb).ki_filp;
            let nonblock = (*file).f_flags & bindings::O_NONBLOCK != 0;
            Ok(D::read(state::<D>(file), IovIterDest::from_raw(to), nonblock)? as isize)
        }
    })
}

/// # Safety
///
/// Called by the VFS with a file of the device and a locked pipe.
unsafe extern "C" fn splice_read<D: Device>(
    file: *mut bindings::file,
    _position: *mut i64,
    pipe: *mut bindings::pipe_inode_info,
    len: usize,
    _flags: u32,
) -> isize {
    c_result!({
        // SAFETY: By the safety requirements; what is collected fits the room there was.
        unsafe {
            let pipe = NonNull::new(pipe).ok_or(EINVAL)?;
            let pages = bindings::fuse_rs_helper_pipe_room(pipe.as_ptr());
            let mut sink = PipeSink::new(len, pages);
            // Only the device's own O_NONBLOCK counts. A pipe with O_NONBLOCK sets
            // SPLICE_F_NONBLOCK here, and readers with such pipes expect to wait.
            let nonblock = (*file).f_flags & bindings::O_NONBLOCK != 0;
            D::read(state::<D>(file), &mut sink, nonblock)?;
            Ok(sink.deliver(pipe)? as isize)
        }
    })
}

/// # Safety
///
/// Called by the VFS with a file of the device and where the data comes from.
unsafe extern "C" fn write_iter<D: Device>(
    kiocb: *mut bindings::kiocb,
    from: *mut bindings::iov_iter,
) -> isize {
    c_result!({
        // SAFETY: By the safety requirements.
        unsafe {
            let file = (*kiocb).ki_filp;
            Ok(D::write(state::<D>(file), IovIterSource::from_raw(from))? as isize)
        }
    })
}

/// # Safety
///
/// Called by the VFS with a file of the device.
unsafe extern "C" fn poll<D: Device>(
    file: *mut bindings::file,
    table: *mut bindings::poll_table,
) -> bindings::__poll_t {
    let mut ready = Readiness {
        error: true,
        ..Readiness::default()
    };
    // SAFETY: The file owns a reference to the state until it is released, so the state, and the
    // queue that is borrowed from it, live as long as that. By then nobody polls the file any
    // more: poll(2) and aio hold it, and epoll lets go of it before it is released.
    unsafe {
        if let Some(queue) = D::poll_queue(&opened::<D>(file).state) {
            bindings::fuse_rs_helper_poll_wait(file, queue.as_raw(), table);
            // After that: what changes from now on wakes the poller.
            ready = D::readiness(state::<D>(file));
        }
    }
    let mut mask = 0u64;
    if ready.readable {
        mask |= bindings::FUSE_RS_EPOLLIN;
    }
    if ready.writable {
        mask |= bindings::FUSE_RS_EPOLLOUT;
    }
    if ready.error {
        mask |= bindings::FUSE_RS_EPOLLERR;
    }
    mask as bindings::__poll_t
}

/// # Safety
///
/// Called by the VFS with a file of the device.
unsafe extern "C" fn fasync_op<D: Device>(fd: i32, file: *mut bindings::file, on: i32) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let opened = unsafe { opened::<D>(file) };
        if opened.signals.as_ref().is_none() {
            opened
                .signals
                .populate(NonNull::from(D::fasync(&opened.state)?));
        }
        let list = opened.signals.as_ref().ok_or(EAGAIN)?;
        // SAFETY: The list is borrowed from the state, which lives until the file is released.
        // Before that the kernel has the file taken off its list, which is always this one.
        Ok(unsafe { list.as_ref().update(fd, file, on) })
    })
}

/// # Safety
///
/// Called by the VFS with a file of the device.
unsafe extern "C" fn ioctl<D: Device>(file: *mut bindings::file, cmd: u32, arg: usize) -> isize {
    c_result!({
        // SAFETY: By the safety requirements.
        D::ioctl(unsafe { state::<D>(file) }, cmd, IoctlArgument(arg))?;
        Ok(0isize)
    })
}

/// # Safety
///
/// Called by the VFS with a file of the device and a pipe that is not locked.
unsafe extern "C" fn splice_write<D: Device>(
    pipe: *mut bindings::pipe_inode_info,
    file: *mut bindings::file,
    _position: *mut i64,
    len: usize,
    _flags: u32,
) -> isize {
    c_result!({
        let pipe = NonNull::new(pipe).ok_or(EINVAL)?;
        // SAFETY: By the safety requirements.
        let (state, mut message) = unsafe { (state::<D>(file), TakenMessage::take(pipe, len)?) };
        let written = message.with(|from| D::write(state, from))?;
        isize::try_from(written).map_err(|_| EINVAL)
    })
}

/// # Safety
///
/// Called by the VFS with a file of the device.
unsafe extern "C" fn show_fdinfo<D: Device>(
    seq: *mut bindings::seq_file,
    file: *mut bindings::file,
) {
    // SAFETY: By the safety requirements.
    let (state, out) = unsafe { (state::<D>(file), SeqFile::from_raw(seq)) };
    D::show_info(&state, out);
}
