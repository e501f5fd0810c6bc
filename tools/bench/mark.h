/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Marks in the code of bench that the plugin `blocks` knows: nopl with a displacement nobody uses.
 * To a processor they are nothing.
 */
#ifndef MARK_H
#define MARK_H

#define BEGIN_MARK 0x51
#define END_MARK 0x52
#define MARK_BYTES(which) 0x0f, 0x1f, 0x80, which, 0x7e, 0x5e, 0x6d

#define STRING_OF(...) #__VA_ARGS__
#define BYTES(...) ".byte " STRING_OF(__VA_ARGS__)
#define mark(which) asm volatile(BYTES(MARK_BYTES(which)) ::: "memory")

#endif
