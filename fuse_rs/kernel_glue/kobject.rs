// SPDX-License-Identifier: GPL-2.0

//! Directories of sysfs with what there is to know of something, and the events that tell of them.

use crate::bindings;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::ffi;
use kernel::prelude::*;
use kernel::str::CString;
use kernel::types::Opaque;

/// A directory in /sys/fs whose entries send events.
///
/// # Invariants
///
/// The value owns a reference to the set.
pub struct Set(NonNull<bindings::kset>);

// SAFETY: Sets synchronise themselves.
unsafe impl Send for Set {}
// SAFETY: As above.
unsafe impl Sync for Set {}

impl Set {
    /// Makes /sys/fs/`name`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also if it exists.
    pub fn new(name: &'static CStr) -> Result<Self> {
        // SAFETY: The name is a string without directives; the parent always exists.
        let set = unsafe {
            bindings::kset_create_and_add(name.as_char_ptr(), core::ptr::null(), bindings::fs_kobj)
        };
        // INVARIANT: It was just made.
        NonNull::new(set).map(Self).ok_or(ENOMEM)
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        // SAFETY: The reference is given up.
        unsafe { bindings::kset_unregister(self.0.as_ptr()) };
    }
}

/// A file with one line in it.
struct File {
    attribute: bindings::kobj_attribute,
    text: CString,
}

/// What a directory consists of.
#[repr(C)]
struct Object {
    object: Opaque<bindings::kobject>,
    files: KVec<File>,
}

struct ObjectType(bindings::kobj_type);

// SAFETY: The pointers are to constants.
unsafe impl Sync for ObjectType {}

static TYPE: ObjectType = {
    // SAFETY: Zeroes are a valid type.
    let mut object_type: bindings::kobj_type = unsafe { core::mem::zeroed() };
    object_type.release = Some(release);
    object_type.sysfs_ops = &raw const bindings::kobj_sysfs_ops;
    ObjectType(object_type)
};

/// # Safety
///
/// Called when the last reference to the object of an [`Object`] in a box is gone.
unsafe extern "C" fn release(object: *mut bindings::kobject) {
    // SAFETY: By the safety requirements; the object comes first.
    drop(unsafe { KBox::from_raw(object.cast::<Object>()) });
}

/// # Safety
///
/// Called with the attribute of a [`File`] and a page to write to.
unsafe extern "C" fn show(
    _: *mut bindings::kobject,
    attribute: *mut bindings::kobj_attribute,
    to: *mut ffi::c_char,
) -> isize {
    // SAFETY: By the safety requirements.
    unsafe {
        let file = kernel::container_of!(attribute, File, attribute);
        bindings::sysfs_emit(to, c"%s\n".as_char_ptr(), (*file).text.as_char_ptr()) as isize
    }
}

/// Where a directory is.
#[derive(Clone, Copy)]
pub enum Parent<'a> {
    /// In a set.
    Set(&'a Set),
    /// In another directory.
    Entry(&'a Entry),
}

/// Which event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is there.
    Added,
    /// It is about to go.
    Removed,
}

/// A directory of sysfs, which goes with the value.
///
/// # Invariants
///
/// The object was added, is the first field of an [`Object`], and the value owns a reference to it.
pub struct Entry(NonNull<bindings::kobject>);

// SAFETY: Objects synchronise themselves.
unsafe impl Send for Entry {}
// SAFETY: As above.
unsafe impl Sync for Entry {}

impl Entry {
    /// Makes a directory `name` with `files`: their names and the lines in them.
    ///
    /// # Errors
    ///
    /// `EEXIST`, `ENOMEM`.
    pub fn new(
        parent: Parent<'_>,
        name: &CStr,
        files: impl IntoIterator<Item = (&'static CStr, CString)>,
    ) -> Result<Self> {
        let mut lines = KVec::new();
        for (name, text) in files {
            let mut attribute: bindings::kobj_attribute = pin_init::zeroed();
            attribute.attr.name = name.as_char_ptr();
            attribute.attr.mode = 0o444;
            attribute.__bindgen_anon_1.show = Some(show);
            lines.push(File { attribute, text }, GFP_KERNEL)?;
        }
        let object = KBox::new(
            Object {
                object: Opaque::zeroed(),
                files: lines,
            },
            GFP_KERNEL,
        )?;
        let raw = KBox::into_raw(object);
        // SAFETY: The object is zeroed, and becomes valid here in any case; then its type's `release`
        // frees it with the last reference.
        let added = unsafe {
            let object = (&raw mut (*raw).object).cast::<bindings::kobject>();
            let parent = match parent {
                Parent::Set(set) => {
                    (*object).kset = set.0.as_ptr();
                    core::ptr::null_mut()
                }
                Parent::Entry(entry) => entry.0.as_ptr(),
            };
            to_result(bindings::kobject_init_and_add(
                object,
                &TYPE.0,
                parent,
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            ))
            .inspect_err(|_| bindings::kobject_put(object))?;
            object
        };
        // INVARIANT: It was just added.
        let this = Self(NonNull::new(added).ok_or(EINVAL)?);
        // SAFETY: The files lie in the object, which `this` keeps, and lie still: nobody adds any.
        unsafe {
            for file in (*raw).files.iter_mut() {
                bindings::fuse_rs_helper_init_attribute(&mut file.attribute);
                to_result(bindings::sysfs_create_file_ns(
                    this.0.as_ptr(),
                    &file.attribute.attr,
                    core::ptr::null(),
                ))?;
            }
        }
        Ok(this)
    }

    /// Adds a link `name` to an object.
    ///
    /// # Safety
    ///
    /// There is a reference to the object.
    pub(crate) unsafe fn link(&self, name: &CStr, to: *mut bindings::kobject) -> Result {
        // SAFETY: By the safety requirements and the invariants.
        to_result(unsafe { bindings::sysfs_create_link(self.0.as_ptr(), to, name.as_char_ptr()) })
    }

    /// Sends an event with a variable, `NAME=value`. Nobody may be listening.
    pub fn tell(&self, event: Event, variable: &CStr) {
        let action = match event {
            Event::Added => bindings::kobject_action_KOBJ_ADD,
            Event::Removed => bindings::kobject_action_KOBJ_REMOVE,
        };
        let mut variables = [variable.as_char_ptr().cast_mut(), core::ptr::null_mut()];
        // SAFETY: The object is valid by the invariants; the list ends with a null pointer, and is only
        // read.
        unsafe { bindings::kobject_uevent_env(self.0.as_ptr(), action, variables.as_mut_ptr()) };
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: It was added; after its removal nobody reads its files. The reference is given up.
        unsafe {
            bindings::kobject_del(self.0.as_ptr());
            bindings::kobject_put(self.0.as_ptr());
        }
    }
}
