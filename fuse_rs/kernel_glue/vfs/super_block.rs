// SPDX-License-Identifier: GPL-2.0

//! Super blocks.

use super::attributes::FsStatistics;
use super::context::MountLog;
use super::dentry::Dentry;
use super::dentry::DentryOperations;
use super::export::ExportOperations;
use super::export::ExportTable;
use super::inode::Inode;
use super::submount::SubmountOperations;
use super::xattr::HandlerTable;
use super::xattr::XattrOperations;
use super::FileSystem;
use crate::bindings;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::sync::aref::ARef;
use kernel::types::Opaque;

/// What the kernel asks of a mounted file system as a whole.
pub trait SuperOperations: FileSystem {
    /// The last reference to an inode is gone: its data is to be given back to wherever it came
    /// from. May sleep. The inode's pages are dropped already.
    fn evict(inode: &Inode<Self>);

    /// The times of an inode are to be written. May sleep, but not for anybody outside the kernel.
    fn write_times(inode: &Inode<Self>) -> Result;

    /// Size and usage. May sleep.
    fn statfs(root: &Dentry<Self>) -> Result<FsStatistics>;

    /// Makes everything durable. May sleep.
    fn sync(root: &Inode<Self>) -> Result;

    /// The mount is to be given up even if it hangs.
    fn umount_begin(sb: &SuperBlock<Self>);

    /// Prints the options for /proc/mounts, each with a comma in front.
    fn show_options(sb: &SuperBlock<Self>, out: &SeqFile);

    /// Nobody uses the mount any more; its inodes are about to be dropped. Afterwards nothing may
    /// hold a reference to an inode. It may be one that was not filled. May sleep.
    fn shutdown(sb: &SuperBlock<Self>);
}

/// A mounted super block.
///
/// # Invariants
///
/// `s_fs_info` points to the data, from `KBox::into_foreign`-like ownership of the super block.
#[repr(transparent)]
pub struct SuperBlock<T: FileSystem> {
    sb: Opaque<bindings::super_block>,
    _fs: PhantomData<T>,
}

impl<T: FileSystem> SuperBlock<T> {
    /// Wraps a super block of this file system.
    ///
    /// # Safety
    ///
    /// `sb` is valid for `'a` and its data has been set.
    pub(crate) unsafe fn from_raw<'a>(sb: *mut bindings::super_block) -> &'a Self {
        // SAFETY: By the safety requirements; the type is transparent.
        unsafe { &*sb.cast() }
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::super_block {
        self.sb.get()
    }

    /// The file system's data.
    #[inline]
    pub fn data(&self) -> &T::Super {
        // SAFETY: By the type's invariants.
        unsafe { &*(*self.as_ptr()).s_fs_info.cast::<T::Super>() }
    }

    /// The device number users see.
    pub fn device_number(&self) -> u32 {
        // SAFETY: Set before the super block is published.
        unsafe { (*self.as_ptr()).s_dev }
    }

    /// Whether the mounter is not trusted by the initial user namespace.
    pub fn is_from_user_namespace(&self) -> bool {
        // SAFETY: A super block has a user namespace.
        unsafe { !bindings::fuse_rs_helper_is_init_user_ns((*self.as_ptr()).s_user_ns) }
    }

    /// Bytes of a block, and how many of them its device has, if it has one.
    pub fn device_blocks(&self) -> Option<(u32, u64)> {
        let sb = self.as_ptr();
        // SAFETY: Set before the super block is published; it keeps the device open.
        unsafe {
            let device = NonNull::new((*sb).s_bdev)?;
            let blocks = bindings::fuse_rs_helper_device_bytes(device.as_ptr())
                / (*sb).s_blocksize.max(1) as u64;
            Some(((*sb).s_blocksize as u32, blocks))
        }
    }

    /// Readahead of the mount in bytes.
    pub fn readahead_bytes(&self) -> usize {
        // SAFETY: A mounted super block has a backing device.
        unsafe {
            (*(*self.as_ptr()).s_bdi)
                .ra_pages
                .saturating_mul(crate::mem::pages::PAGE_SIZE)
        }
    }

    /// Times are stored in multiples of `nanoseconds`.
    pub fn set_time_granularity(&self, nanoseconds: u32) {
        // SAFETY: A plain field; who reads it while it changes sees the old or the new value.
        unsafe { (&raw mut (*self.as_ptr()).s_time_gran).write_volatile(nanoseconds.max(1)) };
    }

    /// Who reads more than the readahead at a time gets up to so many bytes in one go.
    pub fn set_large_read_bytes(&self, bytes: usize) {
        // SAFETY: A mounted super block has a backing device; the field is tunable at any time.
        unsafe { (*(*self.as_ptr()).s_bdi).io_pages = bytes / crate::mem::pages::PAGE_SIZE };
    }

    /// A write finds out once that a file carries no privileges (set-id bits, capabilities), and
    /// that is believed until its [attributes](Inode::set_attributes) are set.
    pub fn remember_lack_of_privileges(&self) {
        // SAFETY: The super block is valid; the flags are changed atomically.
        unsafe {
            bindings::fuse_rs_helper_set_sb_flags(
                self.as_ptr(),
                bindings::FUSE_RS_SB_NOSEC as usize,
            )
        };
    }

    /// Mounts may map ids: operations get an [`IdMap`](super::inode_ops::IdMap) that does.
    pub fn allow_id_maps(&self) {
        // SAFETY: A plain field; who reads it while it changes sees the old or the new value.
        unsafe {
            let flags = &raw mut (*self.as_ptr()).s_iflags;
            flags.write_volatile(flags.read_volatile() & !(bindings::SB_I_NOIDMAP as usize));
        }
    }

    /// Sets the readahead of the mount in bytes.
    pub fn set_readahead_bytes(&self, bytes: usize) {
        // SAFETY: A mounted super block has a backing device; the field is tunable at any time.
        unsafe { (*(*self.as_ptr()).s_bdi).ra_pages = bytes / crate::mem::pages::PAGE_SIZE };
    }
}

/// A super block that is to be filled: first [set up](NewSuper::set_up), then given a root.
pub struct NewSuper<'a, T: FileSystem>(&'a SuperBlock<T>);

/// A super block that is set up: inodes can be made.
pub struct RootlessSuper<'a, T: FileSystem>(&'a SuperBlock<T>);

/// Proof that a super block is complete.
pub struct FilledSuper<'a, T: FileSystem>(&'a SuperBlock<T>);

/// What a super block is to be like.
pub struct SuperSettings<'a> {
    /// Number that tells the kind of file system.
    pub magic: u64,
    /// Block size in bytes for a file system without a device; a power of two.
    pub block_size: usize,
    /// What stands after the dot in the type, if anything.
    pub subtype: Option<&'a CStr>,
    /// Directory entries are remembered, see [`super::remembered`].
    pub remembers_entries: bool,
    /// Name of the backing device's entry in sysfs behind its number.
    pub suffix: &'static CStr,
}

impl<'a, T> NewSuper<'a, T>
where
    T: SubmountOperations + XattrOperations + DentryOperations + ExportOperations,
{
    /// Wraps a super block that is being filled.
    ///
    /// # Safety
    ///
    /// `sb` is being filled by the caller and its data has been set.
    pub(crate) unsafe fn from_raw(sb: *mut bindings::super_block) -> Self {
        // SAFETY: By the safety requirements.
        Self(unsafe { SuperBlock::from_raw(sb) })
    }

    /// The file system's data.
    pub fn data(&self) -> &T::Super {
        self.0.data()
    }

    /// Sets it up: operations, limits and a backing device whose dirty pages may be 1 % of what
    /// is allowed in total, strictly.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` for mandatory locks or a block size the device cannot have.
    pub fn set_up(
        self,
        settings: &SuperSettings<'_>,
        log: &MountLog<'_>,
    ) -> Result<RootlessSuper<'a, T>> {
        let sb = self.0.as_ptr();
        // SAFETY: Plain fields of a super block that nobody else uses yet; the tables live for
        // ever and fit each other.
        unsafe {
            if (*sb).s_flags & bindings::FUSE_RS_SB_MANDLOCK as usize != 0 {
                return Err(log.invalid(c"Mandatory locks are not supported"));
            }
            (*sb).s_magic = settings.magic as usize;
            (*sb).s_op = SuperTable::<T>::get();
            (*sb).s_xattr = HandlerTable::<T>::get();
            (*sb).s_export_op = ExportTable::<T>::both_ways();
            (*sb).s_maxbytes = bindings::FUSE_RS_MAX_LFS_FILESIZE as i64;
            (*sb).s_time_gran = 1;
            (*sb).s_iflags |=
                (bindings::SB_I_NOIDMAP | bindings::SB_I_IMA_UNVERIFIABLE_SIGNATURE) as usize;
            if self.0.is_from_user_namespace() {
                (*sb).s_iflags |= bindings::SB_I_UNTRUSTED_MOUNTER as usize;
            }
            (*sb).s_flags &=
                !((bindings::FUSE_RS_SB_NOSEC | bindings::FUSE_RS_SB_I_VERSION) as usize);
            // The umask is applied by whoever makes the inode.
            (*sb).s_flags |= bindings::FUSE_RS_SB_POSIXACL as usize;
            bindings::set_default_d_op(
                sb,
                super::dentry::DentryTable::<T>::get(settings.remembers_entries),
            );
        }
        self.set_block_size(settings.block_size)
            .inspect_err(|_| log.error(c"The device cannot have blocks of this size"))?;
        if let Some(subtype) = settings.subtype {
            // SAFETY: The text is a string; the copy belongs to the super block, which frees it
            // when it goes. There was none before.
            unsafe {
                let copy = bindings::kstrdup(subtype.as_char_ptr(), bindings::GFP_KERNEL);
                if copy.is_null() {
                    return Err(ENOMEM);
                }
                (*sb).s_subtype = copy;
            }
        }
        self.make_backing_device(settings.suffix)?;
        Ok(RootlessSuper(self.0))
    }

    fn set_block_size(&self, bytes: usize) -> Result {
        let sb = self.0.as_ptr();
        // SAFETY: Nobody else uses the super block yet. On a block device it is open now.
        unsafe {
            if (*sb).s_bdev.is_null() {
                (*sb).s_blocksize = bytes;
                (*sb).s_blocksize_bits = bytes.trailing_zeros() as u8;
            } else if bindings::sb_set_blocksize(sb, bytes as i32) == 0 {
                return Err(EINVAL);
            }
        }
        Ok(())
    }

    /// A backing device of the mount's own, also on a block device, whose writers are not to wait
    /// for this file system's.
    fn make_backing_device(&self, suffix: &CStr) -> Result {
        let sb = self.0.as_ptr();
        // SAFETY: On a block device, `s_bdi` is the disk's, with a reference that the super block
        // was given when the device was opened; it is given up, and what stands there instead
        // is not counted. Without one, that is what stands there already. Nobody else uses the
        // super block yet.
        unsafe {
            if !(*sb).s_bdev.is_null() {
                bindings::bdi_put((*sb).s_bdi);
                (*sb).s_bdi = &raw mut bindings::noop_backing_dev_info;
            }
        }
        // SAFETY: The format takes two numbers and a string, and is not written to. The super
        // block owns the backing device that is made.
        kernel::error::to_result(unsafe {
            let dev = (*sb).s_dev;
            bindings::super_setup_bdi_name(
                sb,
                c"%u:%u%s".as_char_ptr().cast_mut(),
                dev >> 20,
                dev & 0xf_ffff,
                suffix.as_char_ptr(),
            )
        })?;
        // SAFETY: The backing device was just made, and nothing is written to it yet.
        unsafe {
            (*(*sb).s_bdi).capabilities |= bindings::FUSE_RS_BDI_CAP_STRICTLIMIT as u32;
            bindings::bdi_set_max_ratio((*sb).s_bdi, 1);
        }
        Ok(())
    }
}

impl<'a, T: FileSystem> RootlessSuper<'a, T> {
    /// The super block; no inode of it may be used by others before it has a root.
    pub fn super_block(&self) -> &'a SuperBlock<T> {
        self.0
    }

    /// Makes `inode` the root.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn set_root(self, inode: ARef<Inode<T>>) -> Result<FilledSuper<'a, T>> {
        let inode = ARef::into_raw(inode);
        // SAFETY: `d_make_root` takes over the reference, whether it succeeds or not.
        let root = unsafe { bindings::d_make_root(inode.as_ref().as_ptr()) };
        if root.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: Nobody else uses the super block yet.
        unsafe { (*self.0.as_ptr()).s_root = root };
        Ok(FilledSuper(self.0))
    }
}

impl<'a, T: FileSystem> FilledSuper<'a, T> {
    /// The super block.
    pub fn super_block(&self) -> &'a SuperBlock<T> {
        self.0
    }
}

/// The table of C callbacks.
pub(crate) struct SuperTable<T>(PhantomData<T>);

impl<T: SuperOperations> SuperTable<T> {
    const TABLE: bindings::super_operations = bindings::super_operations {
        alloc_inode: Some(super::inode_cache::alloc_inode::<T>),
        free_inode: Some(super::inode_cache::free_inode::<T>),
        write_inode: Some(write_inode::<T>),
        evict_inode: Some(evict_inode::<T>),
        drop_inode: Some(bindings::inode_just_drop),
        statfs: Some(statfs::<T>),
        sync_fs: Some(sync_fs::<T>),
        umount_begin: Some(umount_begin::<T>),
        show_options: Some(show_options::<T>),
        ..pin_init::zeroed()
    };

    pub(crate) const fn get() -> &'static bindings::super_operations {
        &Self::TABLE
    }
}

/// # Safety
///
/// Called by the VFS with an inode of the file system that nobody uses any more.
unsafe extern "C" fn evict_inode<T: SuperOperations>(inode: *mut bindings::inode) {
    // SAFETY: By the safety requirements.
    unsafe {
        // Waits until nobody has pinned memory that the file is in, if it is in any.
        bindings::fuse_rs_helper_break_layout_final(inode);
        bindings::fuse_rs_helper_truncate_final(inode);
        bindings::clear_inode(inode);
        T::evict(Inode::from_raw(inode));
    }
}

/// # Safety
///
/// Called by the VFS with an inode of the file system that is dirty.
unsafe extern "C" fn write_inode<T: SuperOperations>(
    inode: *mut bindings::inode,
    _: *mut bindings::writeback_control,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        T::write_times(unsafe { Inode::from_raw(inode) })?;
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with a dentry of the file system.
unsafe extern "C" fn statfs<T: SuperOperations>(
    dentry: *mut bindings::dentry,
    out: *mut bindings::opaque::kstatfs,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let stat = T::statfs(unsafe { Dentry::from_raw(dentry) })?;
        // SAFETY: The VFS gives a structure to fill.
        let out = unsafe { &mut *out.cast::<bindings::kstatfs>() };
        out.f_type = stat.magic as isize;
        out.f_bsize = stat.block_size as isize;
        out.f_frsize = stat.fragment_size as isize;
        out.f_blocks = stat.blocks;
        out.f_bfree = stat.free;
        out.f_bavail = stat.available;
        out.f_files = stat.files;
        out.f_ffree = stat.free_files;
        out.f_namelen = stat.name_max as isize;
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with a super block of the file system.
unsafe extern "C" fn sync_fs<T: SuperOperations>(sb: *mut bindings::super_block, wait: i32) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let root = unsafe { (*sb).s_root };
        // Only what waits makes durable; and without a root, the mount is on its way out.
        if wait != 0 && !root.is_null() {
            // SAFETY: The VFS keeps the super block from being shut down.
            let root = unsafe { Dentry::<T>::from_raw(root) };
            T::sync(root.inode().ok_or(EIO)?)?;
        }
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with a super block of the file system.
unsafe extern "C" fn umount_begin<T: SuperOperations>(sb: *mut bindings::super_block) {
    // SAFETY: By the safety requirements.
    T::umount_begin(unsafe { SuperBlock::from_raw(sb) });
}

/// # Safety
///
/// Called by the VFS with a sequence file and the root of a mount of the file system.
unsafe extern "C" fn show_options<T: SuperOperations>(
    seq: *mut bindings::seq_file,
    root: *mut bindings::dentry,
) -> i32 {
    // SAFETY: By the safety requirements.
    unsafe { T::show_options(SuperBlock::from_raw((*root).d_sb), SeqFile::from_raw(seq)) };
    0
}

/// Drops a super block's data.
///
/// # Safety
///
/// `data` came from `KBox::into_raw` and nobody uses it any more, apart from path walks that are
/// in an RCU section.
pub(crate) unsafe fn drop_data<T: FileSystem>(data: *mut T::Super) {
    if let Some(data) = NonNull::new(data) {
        // A path walk may have begun in the mount and still look at an entry of it, without a
        // reference to anything.
        // SAFETY: May sleep, as unmounting and giving up a mount may.
        unsafe { bindings::synchronize_rcu_expedited() };
        // SAFETY: By the safety requirements; path walks are over.
        drop(unsafe { KBox::from_raw(data.as_ptr()) });
    }
}
