/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The trace events. Those of requests have names, fields and words of the built-in client's, so that
 * who looks at them needs only another group.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM fuse_rs

#if !defined(FUSE_RS_TRACE_EVENTS_H) || defined(TRACE_HEADER_MULTI_READ)
#define FUSE_RS_TRACE_EVENTS_H

#include <linux/fuse.h>
#include <linux/tracepoint.h>

#define fuse_rs_opcodes(each, last)                                                                \
	each(FUSE_LOOKUP) each(FUSE_FORGET) each(FUSE_GETATTR) each(FUSE_SETATTR)                  \
	each(FUSE_READLINK) each(FUSE_SYMLINK) each(FUSE_MKNOD) each(FUSE_MKDIR)                   \
	each(FUSE_UNLINK) each(FUSE_RMDIR) each(FUSE_RENAME) each(FUSE_LINK)                       \
	each(FUSE_OPEN) each(FUSE_READ) each(FUSE_WRITE) each(FUSE_STATFS)                         \
	each(FUSE_RELEASE) each(FUSE_FSYNC) each(FUSE_SETXATTR) each(FUSE_GETXATTR)                \
	each(FUSE_LISTXATTR) each(FUSE_REMOVEXATTR) each(FUSE_FLUSH) each(FUSE_INIT)               \
	each(FUSE_OPENDIR) each(FUSE_READDIR) each(FUSE_RELEASEDIR) each(FUSE_FSYNCDIR)            \
	each(FUSE_GETLK) each(FUSE_SETLK) each(FUSE_SETLKW) each(FUSE_ACCESS)                      \
	each(FUSE_CREATE) each(FUSE_INTERRUPT) each(FUSE_BMAP) each(FUSE_DESTROY)                  \
	each(FUSE_IOCTL) each(FUSE_POLL) each(FUSE_NOTIFY_REPLY) each(FUSE_BATCH_FORGET)           \
	each(FUSE_FALLOCATE) each(FUSE_READDIRPLUS) each(FUSE_RENAME2) each(FUSE_LSEEK)            \
	each(FUSE_COPY_FILE_RANGE) each(FUSE_SETUPMAPPING) each(FUSE_REMOVEMAPPING)                \
	each(FUSE_SYNCFS) each(FUSE_TMPFILE) each(FUSE_STATX) last(FUSE_COPY_FILE_RANGE_64)

/* Tools that read the format of an event know numbers only. */
#define fuse_rs_number(name) TRACE_DEFINE_ENUM(name);
fuse_rs_opcodes(fuse_rs_number, fuse_rs_number)

#define fuse_rs_last_name(name) { name, #name }
#define fuse_rs_name(name) fuse_rs_last_name(name),

DECLARE_EVENT_CLASS(fuse_rs_request,
	TP_PROTO(u32 connection, u64 unique, u32 opcode, u32 len),
	TP_ARGS(connection, unique, opcode, len),
	TP_STRUCT__entry(
		__field(u32, connection)
		__field(u64, unique)
		__field(u32, opcode)
		__field(u32, len)
	),
	TP_fast_assign(
		__entry->connection = connection;
		__entry->unique = unique;
		__entry->opcode = opcode;
		__entry->len = len;
	),
	TP_printk("connection %u req %llu opcode %u (%s) len %u", __entry->connection,
		  __entry->unique, __entry->opcode,
		  __print_symbolic(__entry->opcode,
				   fuse_rs_opcodes(fuse_rs_name, fuse_rs_last_name)),
		  __entry->len)
);

DEFINE_EVENT(fuse_rs_request, fuse_request_send,
	TP_PROTO(u32 connection, u64 unique, u32 opcode, u32 len),
	TP_ARGS(connection, unique, opcode, len)
);

DEFINE_EVENT(fuse_rs_request, fuse_request_sent,
	TP_PROTO(u32 connection, u64 unique, u32 opcode, u32 len),
	TP_ARGS(connection, unique, opcode, len)
);

TRACE_EVENT(fuse_request_end,
	TP_PROTO(u32 connection, u64 unique, u32 len, s32 error),
	TP_ARGS(connection, unique, len, error),
	TP_STRUCT__entry(
		__field(u32, connection)
		__field(u64, unique)
		__field(u32, len)
		__field(s32, error)
	),
	TP_fast_assign(
		__entry->connection = connection;
		__entry->unique = unique;
		__entry->len = len;
		__entry->error = error;
	),
	TP_printk("connection %u req %llu len %u error %d", __entry->connection,
		  __entry->unique, __entry->len, __entry->error)
);

TRACE_EVENT(fuse_temporary_pages,
	TP_PROTO(u32 connection, s64 change, u64 pages),
	TP_ARGS(connection, change, pages),
	TP_STRUCT__entry(
		__field(u32, connection)
		__field(s64, change)
		__field(u64, pages)
	),
	TP_fast_assign(
		__entry->connection = connection;
		__entry->change = change;
		__entry->pages = pages;
	),
	TP_printk("connection %u change %+lld pages %llu", __entry->connection, __entry->change,
		  __entry->pages)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE events
#include <trace/define_trace.h>
