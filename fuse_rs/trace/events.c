// SPDX-License-Identifier: GPL-2.0
/* The one place where the trace events are defined, with functions for Rust to call. */
#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "events.h"
