/* SPDX-License-Identifier: GPL-2.0 */
/* What bindgen reads: the headers of everything in bindgen_parameters. */
#include <linux/exportfs.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/fs_struct.h>
#include <linux/backing-dev.h>
#include <linux/miscdevice.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/pagemap.h>
#include <linux/pid_namespace.h>
#include <linux/poll.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/seq_file.h>
#include <linux/splice.h>
#include <linux/statfs.h>
#include <linux/user_namespace.h>
#include <linux/writeback.h>
#include <linux/xattr.h>
#include "helpers/dax.h"
#include "helpers/helpers.h"
#include "helpers/virtio.h"
