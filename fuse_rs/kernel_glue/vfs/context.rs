// SPDX-License-Identifier: GPL-2.0

//! Setting a mount up: options and the first contact with the super block.

use super::caller::Gid;
use super::caller::Uid;
use super::caller::UserNamespace;
use super::fs_type::Kind;
use super::fs_type::TypeSlot;
use super::submount;
use super::submount::SubmountOperations;
use super::super_block::drop_data;
use super::super_block::FilledSuper;
use super::super_block::NewSuper;
use crate::bindings;
use crate::dev::DeviceFile;
use crate::dev::DeviceOperations;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::Arc;

/// What kind of value an option has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    /// None.
    Flag,
    /// A number.
    U32,
    /// An octal number.
    Octal,
    /// Text.
    String,
    /// An open file.
    Fd,
    /// A user id.
    Uid,
    /// A group id.
    Gid,
}

/// An option the file system knows.
#[derive(Clone, Copy)]
pub struct OptionSpec {
    /// Its name.
    pub name: &'static CStr,
    /// What kind of value it has.
    pub kind: OptionKind,
}

/// The value of an option.
pub enum OptionValue<'a> {
    /// The option is there.
    Flag,
    /// A number.
    U32(u32),
    /// Text.
    String(&'a CStr),
    /// An open file.
    File(OpenFile),
    /// A user id.
    Uid(Uid),
    /// A group id.
    Gid(Gid),
}

/// A file given as an option.
pub struct OpenFile(NonNull<bindings::file>);

impl OpenFile {
    /// The file's state if it is a `D`.
    pub fn device<D: DeviceOperations>(&self) -> Option<DeviceFile<D>> {
        // SAFETY: We own a reference to the file.
        unsafe { DeviceFile::from_file(self.0.as_ptr()) }
    }

    /// Whether the file was opened in the namespace of the mount.
    pub fn opened_in(&self, ns: &UserNamespace) -> bool {
        // SAFETY: We own a reference to the file.
        let opener = unsafe { bindings::fuse_rs_helper_file_user_ns(self.0.as_ptr()) };
        opener == ns.as_ptr()
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        // SAFETY: We own a reference to the file and give it up.
        unsafe { bindings::fput(self.0.as_ptr()) };
    }
}

/// Where messages about a mount go.
pub struct MountLog<'a> {
    context: NonNull<bindings::fs_context>,
    _borrow: PhantomData<&'a bindings::fs_context>,
}

impl MountLog<'_> {
    /// Messages about the mount that `fc` sets up.
    ///
    /// # Safety
    ///
    /// `fc` is a valid context while the value lives.
    pub(super) unsafe fn new(fc: *mut bindings::fs_context) -> Self {
        Self {
            // SAFETY: By the safety requirements.
            context: unsafe { NonNull::new_unchecked(fc) },
            _borrow: PhantomData,
        }
    }

    /// Tells the person who mounts what is wrong.
    pub fn error(&self, message: &CStr) {
        // SAFETY: The context is valid; the format takes one string, which is copied.
        unsafe {
            let log = &raw const (*self.context.as_ptr()).log;
            bindings::logfc(
                (*log).log,
                (*log).prefix,
                b'e',
                c"%s".as_char_ptr(),
                message.as_char_ptr(),
            );
        }
    }

    /// The same, of an option.
    pub fn invalid(&self, message: &CStr) -> Error {
        self.error(message);
        EINVAL
    }

    /// What is to be mounted.
    pub fn source(&self) -> Option<&CStr> {
        // SAFETY: The context is valid; its source is a string, if there is one, and stays.
        unsafe {
            let source = (*self.context.as_ptr()).source;
            (!source.is_null()).then(|| CStr::from_char_ptr(source))
        }
    }

    /// The user namespace of the mount.
    pub fn user_namespace(&self) -> Result<UserNamespace> {
        // SAFETY: A context has a user namespace.
        unsafe { UserNamespace::get((*self.context.as_ptr()).user_ns) }
    }
}

/// How a file system is mounted.
pub trait MountOperations: SubmountOperations {
    /// The options it knows as a file system of this kind.
    fn options(kind: Kind) -> &'static Options;

    /// Starts a mount of this kind.
    fn new_config(kind: Kind, shared: Arc<Self::Shared>) -> Result<KBox<Self::Config>>;

    /// Takes the option with this index.
    fn set_option(
        config: &mut Self::Config,
        index: usize,
        value: OptionValue<'_>,
        log: &MountLog<'_>,
    ) -> Result;

    /// Whether to mount a super block that exists already: one for which
    /// [`MountOperations::is_wanted`] says yes. Not asked for block devices.
    ///
    /// # Errors
    ///
    /// Any: there is nothing to mount.
    fn wants_existing(config: &mut Self::Config, log: &MountLog<'_>) -> Result<bool>;

    /// Whether this is the data of the super block that is wanted. Must not sleep.
    fn is_wanted(config: &Self::Config, data: &Self::Super) -> bool;

    /// Makes the data of the super block.
    fn new_super(config: &mut Self::Config, log: &MountLog<'_>) -> Result<KBox<Self::Super>>;

    /// Fills the super block.
    fn fill_super<'a>(
        sb: NewSuper<'a, Self>,
        config: &mut Self::Config,
        log: &MountLog<'_>,
    ) -> Result<FilledSuper<'a, Self>>;
}

/// Most options a file system may have.
const MAX_OPTIONS: usize = 15;

/// Options, also in the form the kernel parses.
pub struct Options {
    specs: &'static [OptionSpec],
    table: SpecTable,
}

impl Options {
    /// These options.
    pub const fn new(specs: &'static [OptionSpec]) -> Self {
        Self {
            specs,
            table: spec_table(specs),
        }
    }

    /// The table for the kernel.
    pub(crate) fn table(&self) -> *const bindings::fs_parameter_spec {
        self.table.0.as_ptr()
    }
}

/// Options in the form the kernel parses.
struct SpecTable([bindings::fs_parameter_spec; MAX_OPTIONS + 1]);

// SAFETY: The pointers in the table are to constants.
unsafe impl Sync for SpecTable {}

const EMPTY: bindings::fs_parameter_spec = bindings::fs_parameter_spec {
    name: core::ptr::null(),
    type_: None,
    opt: 0,
    flags: 0,
    data: core::ptr::null(),
};

/// Makes the kernel's form of a list of options.
#[expect(
    clippy::disallowed_methods,
    reason = "the replacement cannot be called in constants; the cast makes the types agree"
)]
const fn spec_table(options: &'static [OptionSpec]) -> SpecTable {
    // At compile time: the table is a static.
    assert!(options.len() <= MAX_OPTIONS);
    let mut table = [EMPTY; MAX_OPTIONS + 1];
    let mut i = 0;
    while i < options.len() {
        let option = &options[i];
        table[i].name = option.name.as_ptr().cast();
        table[i].opt = i as u8;
        match option.kind {
            OptionKind::Flag => {}
            OptionKind::U32 => table[i].type_ = Some(bindings::fs_param_is_u32),
            OptionKind::Octal => {
                table[i].type_ = Some(bindings::fs_param_is_u32);
                // The base of the number.
                table[i].data = 8usize as *const c_void;
            }
            OptionKind::String => table[i].type_ = Some(bindings::fs_param_is_string),
            OptionKind::Fd => table[i].type_ = Some(bindings::fs_param_is_fd),
            OptionKind::Uid => table[i].type_ = Some(bindings::fs_param_is_uid),
            OptionKind::Gid => table[i].type_ = Some(bindings::fs_param_is_gid),
        }
        i += 1;
    }
    SpecTable(table)
}

/// What hangs on a context.
struct Private<T: MountOperations> {
    config: KBox<T::Config>,
    kind: Kind,
}

/// `init_fs_context`.
///
/// # Safety
///
/// Called by the VFS with a fresh context.
pub(crate) unsafe extern "C" fn init<T: MountOperations, const KIND: u8>(
    fc: *mut bindings::opaque::fs_context,
) -> i32 {
    let fc = fc.cast::<bindings::fs_context>();
    c_result!({
        // SAFETY: By the safety requirements; who makes a context of this purpose sets the rest.
        let is_whole = unsafe { submount::set_up::<T>(fc) };
        if is_whole {
            return Ok(0);
        }
        // SAFETY: By the safety requirements.
        let shared = unsafe { TypeSlot::<T::Shared>::shared(fc) };
        let private = KBox::new(
            Private::<T> {
                config: T::new_config(Kind::nth(KIND), shared)?,
                kind: Kind::nth(KIND),
            },
            GFP_KERNEL,
        )?;
        // SAFETY: The context is ours to initialise.
        unsafe {
            (*fc).fs_private = KBox::into_raw(private).cast();
            (*fc).ops = &ContextTable::<T>::TABLE;
        }
        Ok(0)
    })
}

struct ContextTable<T>(PhantomData<T>);

impl<T: MountOperations> ContextTable<T> {
    const TABLE: bindings::fs_context_operations = bindings::fs_context_operations {
        free: Some(free::<T>),
        parse_param: Some(parse_param::<T>),
        get_tree: Some(get_tree::<T>),
        reconfigure: Some(reconfigure),
        dup: None,
        parse_monolithic: None,
    };
}

/// # Safety
///
/// Called by the VFS with a context of the file system.
unsafe extern "C" fn free<T: MountOperations>(fc: *mut bindings::fs_context) {
    // SAFETY: The private data came from `init`, and is given up once.
    unsafe {
        if let Some(private) = NonNull::new((*fc).fs_private.cast::<Private<T>>()) {
            drop(KBox::from_raw(private.as_ptr()));
        }
    }
}

/// # Safety
///
/// Called by the VFS with a context of the file system.
unsafe extern "C" fn parse_param<T: MountOperations>(
    fc: *mut bindings::fs_context,
    param: *mut bindings::fs_parameter,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let log = unsafe { MountLog::new(fc) };
        // SAFETY: By the safety requirements; one task at a time uses a context.
        let (purpose, oldapi) = unsafe {
            (
                bindings::fs_context::purpose_raw(fc),
                bindings::fs_context::oldapi_raw(fc),
            )
        };
        if u64::from(purpose) == bindings::FUSE_RS_PURPOSE_RECONFIGURE {
            // mount(2) gives all options again for a remount; they were always ignored.
            return if oldapi {
                Ok(0)
            } else {
                Err(log.invalid(c"No changes allowed in reconfigure"))
            };
        }
        // SAFETY: The private data came from `init`; nobody but the file system knows its type,
        // and one task at a time uses a context, so this is the only reference to it.
        let private = unsafe { &mut *(*fc).fs_private.cast::<Private<T>>() };
        let mut result = MaybeUninit::<bindings::fs_parse_result>::zeroed();
        // SAFETY: All arguments are valid; the table ends with an empty entry.
        let index = unsafe {
            bindings::__fs_parse(
                &raw mut (*fc).log,
                T::options(private.kind).table(),
                param,
                result.as_mut_ptr(),
            )
        };
        to_result(index)?;
        let index = index as usize;
        // SAFETY: All bytes are initialised, and every pattern is valid.
        let result = unsafe { result.assume_init() };
        let spec = T::options(private.kind).specs.get(index).ok_or(EINVAL)?;
        // SAFETY: The parser has filled the member that belongs to the option's kind.
        let value = unsafe {
            match spec.kind {
                OptionKind::Flag => OptionValue::Flag,
                OptionKind::U32 | OptionKind::Octal => {
                    OptionValue::U32(bindings::fuse_rs_helper_result_u32(&result))
                }
                OptionKind::String => {
                    let text = (*param).__bindgen_anon_1.string;
                    if text.is_null() {
                        return Err(EINVAL);
                    }
                    OptionValue::String(CStr::from_char_ptr(text))
                }
                OptionKind::Fd => OptionValue::File(
                    option_file(param, &result)
                        .inspect_err(|_| log.error(c"The file descriptor is not open"))?,
                ),
                OptionKind::Uid => {
                    OptionValue::Uid(Uid(bindings::fuse_rs_helper_result_uid(&result)))
                }
                OptionKind::Gid => {
                    OptionValue::Gid(Gid(bindings::fuse_rs_helper_result_gid(&result)))
                }
            }
        };
        if spec.name.to_bytes() == b"source" {
            // SAFETY: By the safety requirements.
            if unsafe { !(*fc).source.is_null() } {
                return Err(log.invalid(c"Multiple sources specified"));
            }
            // SAFETY: The context takes over the string.
            unsafe {
                (*fc).source = (*param).__bindgen_anon_1.string;
                (*param).__bindgen_anon_1.string = core::ptr::null_mut();
            }
            return Ok(0);
        }
        T::set_option(&mut private.config, index, value, &log)?;
        Ok(0)
    })
}

/// # Safety
///
/// `param` is a parameter that was parsed as a file descriptor with this result.
unsafe fn option_file(
    param: *const bindings::fs_parameter,
    result: &bindings::fs_parse_result,
) -> Result<OpenFile> {
    // SAFETY: By the safety requirements. A parameter of the type "file" holds a file, to which
    // another reference is taken; one of another type was parsed as the number of a descriptor.
    let file = unsafe {
        if bindings::fs_parameter::type__raw(param) == bindings::fs_value_is_file {
            let file = (*param).__bindgen_anon_1.file;
            if !file.is_null() {
                bindings::fuse_rs_helper_get_file(file);
            }
            file
        } else {
            bindings::fget(bindings::fuse_rs_helper_result_u32(result))
        }
    };
    NonNull::new(file).map(OpenFile).ok_or(EBADF)
}

/// # Safety
///
/// Called by the VFS with a context of the file system.
unsafe extern "C" fn get_tree<T: MountOperations>(fc: *mut bindings::fs_context) -> i32 {
    c_result!({
        // SAFETY: The private data came from `init`. The callbacks of the functions below refer to
        // it again, but this reference is not used after they are called.
        let private = unsafe { &mut *(*fc).fs_private.cast::<Private<T>>() };
        // SAFETY: By the safety requirements.
        let log = unsafe { MountLog::new(fc) };
        let block = private.kind == Kind::OnBlockDevice;
        if !block && T::wants_existing(&mut private.config, &log)? {
            // SAFETY: By the safety requirements.
            return unsafe { get_existing::<T>(fc) }
                .inspect_err(|_| log.error(c"The file system to be mounted again is gone"));
        }
        let data = T::new_super(&mut private.config, &log)?;
        let get = if block {
            bindings::get_tree_bdev
        } else {
            bindings::get_tree_nodev
        };
        // SAFETY: By the safety requirements; the callback is called with what was given.
        unsafe { get_new::<T>(fc, data, |fc| get(fc, Some(fill_super::<T>))) }
    })
}

/// Makes a super block with this data by `get`.
///
/// # Safety
///
/// `fc` is a context of the file system that is asked for its tree, and `get` gets one.
pub(super) unsafe fn get_new<T: SubmountOperations>(
    fc: *mut bindings::fs_context,
    data: KBox<T::Super>,
    get: impl FnOnce(*mut bindings::fs_context) -> i32,
) -> Result<i32> {
    // SAFETY: The field is the file system's. When `sget_fc` makes a super block it takes the data
    // out of the context, and the super block owns it from then on.
    unsafe { (*fc).s_fs_info = KBox::into_raw(data).cast() };
    let done = get(fc);
    // SAFETY: What is still there was not taken, so no super block has it and nobody has seen it;
    // it came from `KBox::into_raw` above.
    unsafe {
        drop_data::<T>((*fc).s_fs_info.cast());
        (*fc).s_fs_info = core::ptr::null_mut();
    }
    to_result(done)?;
    Ok(0)
}

/// Mounts a super block that exists already.
///
/// # Safety
///
/// `fc` is a context of the file system that is asked for its tree.
unsafe fn get_existing<T: MountOperations>(fc: *mut bindings::fs_context) -> Result<i32> {
    // SAFETY: By the safety requirements; the root of a super block that was found is positive
    // and stays as long as the super block, of which the context gets a reference.
    unsafe {
        let sb = bindings::sget_fc(fc, Some(is_wanted::<T>), Some(not_found));
        let sb = kernel::error::from_err_ptr(sb)?;
        (*fc).root = bindings::fuse_rs_helper_dget((*sb).s_root);
    }
    Ok(0)
}

/// # Safety
///
/// Called by `sget_fc` under a spinlock with a super block of the type that is not dead, and the
/// context it was given.
unsafe extern "C" fn is_wanted<T: MountOperations>(
    sb: *mut bindings::super_block,
    fc: *mut bindings::fs_context,
) -> i32 {
    // SAFETY: By the safety requirements. A super block that is shut down is marked as dying
    // before its data is dropped, and that waits for RCU readers, which holders of the spinlock
    // are. The data is set before the super block is in the list.
    unsafe {
        if (&raw const (*sb).s_flags).read_volatile() & bindings::FUSE_RS_SB_DYING as usize != 0 {
            return 0;
        }
        let private = &*(*fc).fs_private.cast::<Private<T>>();
        let data = (*sb).s_fs_info.cast::<T::Super>();
        (!data.is_null() && T::is_wanted(&private.config, &*data)).into()
    }
}

/// Called by `sget_fc` when it finds nothing, to set a new super block up.
extern "C" fn not_found(_: *mut bindings::super_block, _: *mut bindings::fs_context) -> i32 {
    ENOTCONN.to_errno()
}

/// # Safety
///
/// Called by the VFS with a new super block that has taken the context's data.
unsafe extern "C" fn fill_super<T: MountOperations>(
    sb: *mut bindings::super_block,
    fc: *mut bindings::fs_context,
) -> i32 {
    c_result!({
        // SAFETY: The private data came from `init`, and `get_tree`, which called us through the
        // kernel, does not use its own reference any more.
        let private = unsafe { &mut *(*fc).fs_private.cast::<Private<T>>() };
        // SAFETY: By the safety requirements.
        let (new, log) = unsafe { (NewSuper::from_raw(sb), MountLog::new(fc)) };
        let _filled = T::fill_super(new, &mut private.config, &log)?;
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with a context of the file system.
unsafe extern "C" fn reconfigure(fc: *mut bindings::fs_context) -> i32 {
    // SAFETY: A context for reconfiguration has a root.
    unsafe { bindings::sync_filesystem((*(*fc).root).d_sb) };
    0
}
