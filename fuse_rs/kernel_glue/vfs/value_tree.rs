// SPDX-License-Identifier: GPL-2.0

//! A file system of numbers: a directory for every object of some kind, in it a file for every
//! number that can be read or written.
//!
//! Nothing is kept here. Entries are looked up in the [`ValueTree`] whenever somebody asks, and
//! inodes name their object by an id that is never used again, so an object may come and go
//! without any order between its going and this file system's.

use super::caller::Gid;
use super::caller::Uid;
use super::file::DirEmitter;
use super::fs_type::Registered;
use super::fs_type::TypeSlot;
use crate::bindings;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::Arc;

/// What a file of a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A number in text.
    Number,
    /// Something happens when it is written to, whatever is written.
    Trigger,
}

/// A file that every directory has.
#[derive(Clone, Copy, Debug)]
pub struct ValueFile {
    /// Its name.
    pub name: &'static [u8],
    /// Its permission bits; the kernel checks them.
    pub mode: u16,
    /// What it is.
    pub kind: ValueKind,
}

/// Names an object for ever: ids are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectId(u64);

impl ObjectId {
    /// The `n`-th id; none when they are used up.
    pub fn nth(n: u64) -> Option<Self> {
        (n <= u64::MAX >> 8).then_some(Self(n))
    }
}

/// A directory.
pub struct Directory {
    /// Its name, and its place among the others.
    pub number: u32,
    /// The object.
    pub id: ObjectId,
    /// Who owns the files.
    pub owner: Uid,
    /// The group of the files.
    pub group: Gid,
}

/// The objects. All functions are called in process context and may sleep.
pub trait ValueTree: Send + Sync + 'static {
    /// Number of the file system for statfs(2).
    const MAGIC: u64;
    /// What every directory contains; at most 255.
    const FILES: &'static [ValueFile];

    /// How many directories there are.
    fn directories(&self) -> usize;

    /// The directory with the least number that is at least `from`.
    fn directory_from(&self, from: u32) -> Option<Directory>;

    /// Whether the object still exists.
    fn exists(&self, id: ObjectId) -> bool;

    /// The number in `FILES[file]`; none if the object is gone.
    fn read(&self, id: ObjectId, file: usize) -> Option<u64>;

    /// Writes `value` to `FILES[file]`, zero for a trigger.
    fn write(&self, id: ObjectId, file: usize, value: u64) -> Result;
}

/// A type of file system that shows a [`ValueTree`], as a static of the module.
pub struct ValueTreeType<V: ValueTree>(TypeSlot<V>);

impl<V: ValueTree> ValueTreeType<V> {
    /// Not registered.
    #[expect(clippy::new_without_default, reason = "made in a static")]
    pub const fn new() -> Self {
        Self(TypeSlot::new())
    }

    /// Registers the type as `name`.
    ///
    /// # Errors
    ///
    /// `EBUSY` when the name is taken, or the type is registered.
    pub fn register(
        &'static self,
        name: &'static CStr,
        module: &'static ThisModule,
        tree: Arc<V>,
    ) -> Result<Registered<V>> {
        // SAFETY: The callbacks are those of `V`, whose contexts look for a tree of this type.
        unsafe {
            self.0.register(name, module, tree, |fs_type| {
                fs_type.init_fs_context = Some(init_context::<V>);
                fs_type.kill_sb = Some(kill_sb::<V>);
            })
        }
    }
}

/// What an inode stands for.
enum Place {
    Root,
    Directory(ObjectId),
    File(ObjectId, usize),
}

impl Place {
    /// From `i_private`: the id, and behind it the number of the file plus one.
    fn unpack(word: usize) -> Self {
        let id = ObjectId((word >> 8) as u64);
        match (word, word & 0xff) {
            (0, _) => Self::Root,
            (_, 0) => Self::Directory(id),
            (_, file) => Self::File(id, file - 1),
        }
    }

    fn pack(&self) -> usize {
        match self {
            Self::Root => 0,
            Self::Directory(id) => (id.0 as usize) << 8,
            Self::File(id, file) => (id.0 as usize) << 8 | (file + 1),
        }
    }

    /// # Safety
    ///
    /// `inode` is an inode of the file system.
    unsafe fn of(inode: *mut bindings::inode) -> Self {
        // SAFETY: By the safety requirements; the field is set once, before the inode is used.
        Self::unpack(unsafe { (*inode).i_private } as usize)
    }
}

/// The tree of a super block.
///
/// # Safety
///
/// `sb` is a super block of the file system that lives for `'a`.
unsafe fn tree<'a, V: ValueTree>(sb: *mut bindings::super_block) -> &'a V {
    // SAFETY: The super block owns a reference to the tree as long as it lives.
    unsafe { &*(*sb).s_fs_info.cast::<V>() }
}

/// The tables of C callbacks.
struct Tables<V>(PhantomData<V>);

impl<V: ValueTree> Tables<V> {
    const CONTEXT: bindings::fs_context_operations = bindings::fs_context_operations {
        free: Some(free_context::<V>),
        get_tree: Some(get_tree::<V>),
        dup: None,
        parse_param: None,
        parse_monolithic: None,
        reconfigure: None,
    };
    const SUPER: bindings::super_operations = bindings::super_operations {
        statfs: Some(bindings::simple_statfs),
        drop_inode: Some(bindings::inode_just_drop),
        ..pin_init::zeroed()
    };
    const DENTRY: bindings::dentry_operations = bindings::dentry_operations {
        d_revalidate: Some(revalidate::<V>),
        d_delete: Some(bindings::always_delete_dentry),
        ..pin_init::zeroed()
    };
    const DIR: bindings::inode_operations = bindings::inode_operations {
        lookup: Some(lookup::<V>),
        getattr: Some(getattr::<V>),
        ..pin_init::zeroed()
    };
    const FILE: bindings::inode_operations = pin_init::zeroed();
    const OPEN_DIR: bindings::file_operations = bindings::file_operations {
        read: Some(bindings::generic_read_dir),
        iterate_shared: Some(iterate::<V>),
        llseek: Some(bindings::generic_file_llseek),
        ..pin_init::zeroed()
    };
    const OPEN_FILE: bindings::file_operations = bindings::file_operations {
        open: Some(bindings::nonseekable_open),
        read: Some(read::<V>),
        write: Some(write::<V>),
        ..pin_init::zeroed()
    };
}

/// # Safety
///
/// Called by the VFS with a fresh context.
unsafe extern "C" fn init_context<V: ValueTree>(fc: *mut bindings::opaque::fs_context) -> i32 {
    let fc = fc.cast::<bindings::fs_context>();
    // SAFETY: The context is ours to initialise, and its type is that of a `ValueTreeType<V>`.
    unsafe {
        let tree = TypeSlot::<V>::shared(fc);
        (*fc).s_fs_info = Arc::into_raw(tree).cast_mut().cast();
        (*fc).ops = &Tables::<V>::CONTEXT;
    }
    0
}

/// # Safety
///
/// `tree` came from `Arc::into_raw`, and its reference is given up.
unsafe fn put_tree<V: ValueTree>(tree: *mut c_void) {
    if let Some(tree) = NonNull::new(tree.cast::<V>()) {
        // SAFETY: By the safety requirements.
        drop(unsafe { Arc::from_raw(tree.as_ptr()) });
    }
}

/// # Safety
///
/// Called by the VFS with a context of the file system.
unsafe extern "C" fn free_context<V: ValueTree>(fc: *mut bindings::fs_context) {
    // SAFETY: By the safety requirements. A super block that was made has taken the reference.
    unsafe { put_tree::<V>((*fc).s_fs_info) };
}

/// # Safety
///
/// Called by the VFS with a context of the file system.
unsafe extern "C" fn get_tree<V: ValueTree>(fc: *mut bindings::fs_context) -> i32 {
    // SAFETY: By the safety requirements.
    unsafe { bindings::get_tree_single(fc, Some(fill_super::<V>)) }
}

/// # Safety
///
/// Called by the VFS with a new super block that has taken the context's reference.
unsafe extern "C" fn fill_super<V: ValueTree>(
    sb: *mut bindings::super_block,
    _fc: *mut bindings::fs_context,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements; `d_make_root` takes over the inode.
        unsafe {
            (*sb).s_magic = V::MAGIC as usize;
            (*sb).s_op = &Tables::<V>::SUPER;
            (*sb).s_blocksize = crate::mem::pages::PAGE_SIZE;
            (*sb).s_blocksize_bits = crate::mem::pages::PAGE_SIZE.trailing_zeros() as u8;
            (*sb).s_time_gran = 1;
            bindings::set_default_d_op(sb, &Tables::<V>::DENTRY);
            let inode = new_inode::<V>(sb, Place::Root, None)?;
            let root = bindings::d_make_root(inode);
            if root.is_null() {
                return Err(ENOMEM);
            }
            (*sb).s_root = root;
        }
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with a super block of the file system that is no longer mounted.
unsafe extern "C" fn kill_sb<V: ValueTree>(sb: *mut bindings::super_block) {
    // SAFETY: By the safety requirements; nothing uses the tree of a dead super block.
    unsafe {
        let tree = (*sb).s_fs_info;
        bindings::kill_anon_super(sb);
        put_tree::<V>(tree);
    }
}

/// Makes an inode.
///
/// # Safety
///
/// `sb` is a super block of the file system.
unsafe fn new_inode<V: ValueTree>(
    sb: *mut bindings::super_block,
    place: Place,
    owner: Option<(Uid, Gid)>,
) -> Result<*mut bindings::inode> {
    let (perm, directory) = match place {
        // Two links for a directory without others in it; see `getattr` for the root.
        Place::Root => (0o755, Some(2)),
        Place::Directory(_) => (0o500, Some(2)),
        Place::File(_, file) => (V::FILES.get(file).map_or(0, |file| file.mode), None),
    };
    // SAFETY: By the safety requirements.
    let inode = unsafe { bindings::new_inode(sb) };
    if inode.is_null() {
        return Err(ENOMEM);
    }
    // SAFETY: Plain fields of an inode that nobody else knows yet; the tables live for ever, and
    // those for directories go with the type for directories.
    unsafe {
        (*inode).i_ino = bindings::get_next_ino().into();
        (*inode).i_private = place.pack() as *mut c_void;
        bindings::simple_inode_init_ts(inode);
        if let Some((uid, gid)) = owner {
            (*inode).i_uid = uid.0;
            (*inode).i_gid = gid.0;
        }
        if let Some(links) = directory {
            (*inode).i_mode = bindings::S_IFDIR as u16 | perm;
            (*inode).i_op = &Tables::<V>::DIR;
            (*inode).__bindgen_anon_3.i_fop = &Tables::<V>::OPEN_DIR;
            bindings::set_nlink(inode, links);
        } else {
            (*inode).i_mode = bindings::S_IFREG as u16 | perm;
            (*inode).i_op = &Tables::<V>::FILE;
            (*inode).__bindgen_anon_3.i_fop = &Tables::<V>::OPEN_FILE;
        }
    }
    Ok(inode)
}

/// The number a name stands for; there is only one name for a number.
fn number(name: &[u8]) -> Option<u32> {
    if name.first() == Some(&b'0') && name.len() > 1 {
        return None;
    }
    let mut number = if name.is_empty() { None } else { Some(0u32) };
    for digit in name {
        let digit = char::from(*digit).to_digit(10)?;
        number = number?.checked_mul(10)?.checked_add(digit);
    }
    number
}

/// # Safety
///
/// Called by the VFS with a directory of the file system and an entry in lookup.
unsafe extern "C" fn lookup<V: ValueTree>(
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    _flags: u32,
) -> *mut bindings::dentry {
    // SAFETY: By the safety requirements; the name is stable during the call.
    let found = unsafe {
        let sb = (*dir).i_sb;
        let name = {
            let name = &(*dentry).__bindgen_anon_1.d_name;
            core::slice::from_raw_parts(
                name.name,
                name.__bindgen_anon_1.__bindgen_anon_1.len as usize,
            )
        };
        match Place::of(dir) {
            Place::Root => number(name)
                .and_then(|n| tree::<V>(sb).directory_from(n).filter(|d| d.number == n))
                .map(|d| new_inode::<V>(sb, Place::Directory(d.id), Some((d.owner, d.group)))),
            Place::Directory(id) => V::FILES
                .iter()
                .position(|file| file.name == name)
                .filter(|_| tree::<V>(sb).exists(id))
                .map(|file| {
                    let owner = (Uid((*dir).i_uid), Gid((*dir).i_gid));
                    new_inode::<V>(sb, Place::File(id, file), Some(owner))
                }),
            Place::File(..) => None,
        }
    };
    match found.transpose() {
        // SAFETY: Takes over the inode's reference; no inode makes a negative entry.
        Ok(inode) => unsafe {
            bindings::d_splice_alias(inode.unwrap_or(core::ptr::null_mut()), dentry)
        },
        Err(error) => error.to_ptr(),
    }
}

/// # Safety
///
/// Called by the VFS with a directory of the file system.
unsafe extern "C" fn getattr<V: ValueTree>(
    idmap: *mut bindings::mnt_idmap,
    path: *const bindings::path,
    stat: *mut bindings::kstat,
    mask: u32,
    _flags: u32,
) -> i32 {
    // SAFETY: By the safety requirements the path names an inode of ours, which the caller
    // keeps, and its super block keeps the tree; `stat` is the caller's to fill.
    unsafe {
        let inode = (*(*path).dentry).d_inode;
        bindings::generic_fillattr(idmap, mask, inode, stat);
        if let Place::Root = Place::of(inode) {
            let count = u32::try_from(tree::<V>((*inode).i_sb).directories()).unwrap_or(u32::MAX);
            (*stat).nlink = count.saturating_add(2);
        }
    }
    0
}

/// # Safety
///
/// Called by the VFS with an entry of the file system.
unsafe extern "C" fn revalidate<V: ValueTree>(
    _dir: *mut bindings::inode,
    _name: *const bindings::qstr,
    dentry: *mut bindings::dentry,
    flags: u32,
) -> i32 {
    if flags & bindings::FUSE_RS_LOOKUP_RCU as u32 != 0 {
        return ECHILD.to_errno();
    }
    // SAFETY: By the safety requirements; the walk holds a reference to the entry.
    unsafe {
        let inode = (*dentry).d_inode;
        if inode.is_null() {
            return 0;
        }
        match Place::of(inode) {
            Place::Root => 1,
            Place::Directory(id) | Place::File(id, _) => {
                tree::<V>((*dentry).d_sb).exists(id).into()
            }
        }
    }
}

/// What an open file stands for, and the tree.
///
/// # Safety
///
/// `file` is an open file of the file system that lives for `'a`.
unsafe fn opened<'a, V: ValueTree>(file: *mut bindings::file) -> (Place, &'a V) {
    // SAFETY: By the safety requirements; the file keeps its inode and super block.
    unsafe {
        let inode = bindings::fuse_rs_helper_file_inode(file);
        (Place::of(inode), tree::<V>((*inode).i_sb))
    }
}

/// # Safety
///
/// Called by the VFS with an open directory of the file system.
unsafe extern "C" fn iterate<V: ValueTree>(
    file: *mut bindings::file,
    context: *mut bindings::dir_context,
) -> i32 {
    /// `DT_DIR` and `DT_REG`.
    const DIRECTORY: u32 = 4;
    const REGULAR: u32 = 8;
    const UNKNOWN_INO: u64 = 1;
    // SAFETY: By the safety requirements.
    let ((place, tree), mut out) = unsafe {
        if !bindings::fuse_rs_helper_dir_emit_dots(file, context) {
            return 0;
        }
        (opened::<V>(file), DirEmitter::from_raw(context))
    };
    match place {
        Place::Root => {
            while let Some(directory) = u32::try_from(out.position().saturating_sub(2))
                .ok()
                .and_then(|from| tree.directory_from(from))
            {
                let Ok(name) = CString::try_from_fmt(fmt!("{}", directory.number)) else {
                    return ENOMEM.to_errno();
                };
                let next = u64::from(directory.number) + 3;
                if !out.emit(name.to_bytes(), UNKNOWN_INO, DIRECTORY, next) {
                    break;
                }
            }
        }
        Place::Directory(id) if tree.exists(id) => {
            while let Some(file) = usize::try_from(out.position().saturating_sub(2))
                .ok()
                .and_then(|index| V::FILES.get(index))
            {
                let next = out.position() + 1;
                if !out.emit(file.name, UNKNOWN_INO, REGULAR, next) {
                    break;
                }
            }
        }
        Place::Directory(_) | Place::File(..) => {}
    }
    0
}

/// # Safety
///
/// Called by the VFS with an open file of the file system and a buffer in user space.
unsafe extern "C" fn read<V: ValueTree>(
    file: *mut bindings::file,
    buffer: *mut kernel::ffi::c_char,
    len: usize,
    position: *mut i64,
) -> isize {
    c_result!({
        // SAFETY: By the safety requirements.
        let (place, tree) = unsafe { opened::<V>(file) };
        let Place::File(id, index) = place else {
            return Err(EINVAL);
        };
        if V::FILES.get(index).ok_or(EINVAL)?.kind == ValueKind::Trigger {
            return Err(EINVAL);
        }
        let Some(value) = tree.read(id, index) else {
            return Ok(0);
        };
        let text = CString::try_from_fmt(fmt!("{}\n", value))?;
        // SAFETY: The text is as long as said, the buffer is checked by the function.
        let copied = unsafe {
            bindings::simple_read_from_buffer(
                buffer.cast(),
                len,
                position,
                text.as_char_ptr().cast(),
                text.to_bytes().len(),
            )
        };
        Ok(copied)
    })
}

/// # Safety
///
/// Called by the VFS with an open file of the file system and a buffer in user space.
unsafe extern "C" fn write<V: ValueTree>(
    file: *mut bindings::file,
    buffer: *const kernel::ffi::c_char,
    len: usize,
    position: *mut i64,
) -> isize {
    c_result!({
        // SAFETY: By the safety requirements.
        let ((place, tree), position) = unsafe { (opened::<V>(file), *position) };
        let Place::File(id, index) = place else {
            return Err(EINVAL);
        };
        let mut value = 0;
        match V::FILES.get(index).ok_or(EINVAL)?.kind {
            ValueKind::Trigger => {}
            ValueKind::Number if position != 0 => return Err(EINVAL),
            // SAFETY: The buffer is checked by the function.
            ValueKind::Number => to_result(unsafe {
                bindings::kstrtoul_from_user(buffer.cast(), len, 0, &mut value)
            })?,
        }
        tree.write(id, index, value as u64)?;
        isize::try_from(len).map_err(|_| EINVAL)
    })
}
