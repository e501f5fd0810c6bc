// SPDX-License-Identifier: GPL-2.0
/*
 * A QEMU plugin: counts the instructions of every translated block that run between two marks, over
 * all processes and the kernel. It sees code with interrupts off like any other, and what it does
 * takes no time of the guest.
 *
 *   -plugin blocks.so,out=FILE
 *
 * For each pair of marks FILE gets a line "section", and a line "address runs instructions" for each
 * block, the instructions being those of all its runs. Marks are the instructions of mark.h.
 *
 * QEMU is packaged without the header of its plugin interface. What is used of it is declared here;
 * QEMU refuses a plugin whose version of the interface it does not have.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mark.h"

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_scoreboard;
struct qemu_plugin_u64 {
	struct qemu_plugin_scoreboard *score;
	size_t offset;
};
typedef void (*exec_callback)(unsigned int vcpu, void *data);
enum { NO_REGISTERS = 0, IF_NOT_EQUAL = 3 };

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
		void (*callback)(struct qemu_plugin_tb *tb, void *data), void *data);
void qemu_plugin_register_vcpu_tb_exec_cond_cb(struct qemu_plugin_tb *tb, exec_callback callback,
		int flags, int condition, struct qemu_plugin_u64 entry, uint64_t value, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, exec_callback callback,
		int flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *to, size_t size);
struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t size);
void qemu_plugin_u64_set(struct qemu_plugin_u64 entry, unsigned int vcpu, uint64_t value);

int qemu_plugin_version = 7;

struct block {
	struct block *next;
	uint64_t address, instructions, runs;
};

#define BUCKETS (1 << 16)

static struct block *blocks[BUCKETS];
static struct qemu_plugin_u64 counting;
static FILE *out;

/* A block is translated more than once, with various lengths. */
static struct block *block_of(uint64_t address, uint64_t instructions)
{
	struct block **bucket = &blocks[(address ^ address >> 16) % BUCKETS];
	struct block *b;

	for (b = *bucket; b; b = b->next)
		if (b->address == address && b->instructions == instructions)
			return b;
	b = calloc(1, sizeof(*b));
	if (!b)
		abort();
	b->address = address;
	b->instructions = instructions;
	b->next = *bucket;
	return *bucket = b;
}

static void count(unsigned int vcpu, void *data)
{
	struct block *b = data;

	b->runs++;
}

static void begin(unsigned int vcpu, void *data)
{
	qemu_plugin_u64_set(counting, vcpu, 1);
}

static void end(unsigned int vcpu, void *data)
{
	qemu_plugin_u64_set(counting, vcpu, 0);
	fputs("section\n", out);
	for (int i = 0; i < BUCKETS; i++)
		for (struct block *b = blocks[i]; b; b = b->next) {
			if (b->runs)
				fprintf(out, "%llx %llu %llu\n", (unsigned long long)b->address,
					(unsigned long long)b->runs,
					(unsigned long long)(b->runs * b->instructions));
			b->runs = 0;
		}
	fflush(out);
}

static void translated(struct qemu_plugin_tb *tb, void *data)
{
	static const unsigned char begin_mark[] = { MARK_BYTES(BEGIN_MARK) };
	static const unsigned char end_mark[] = { MARK_BYTES(END_MARK) };
	size_t n = qemu_plugin_tb_n_insns(tb);

	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		unsigned char bytes[sizeof(begin_mark)];

		if (qemu_plugin_insn_data(insn, bytes, sizeof(bytes)) != sizeof(bytes))
			continue;
		if (!memcmp(bytes, begin_mark, sizeof(bytes)))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, begin, NO_REGISTERS, NULL);
		else if (!memcmp(bytes, end_mark, sizeof(bytes)))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, end, NO_REGISTERS, NULL);
	}
	qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, count, NO_REGISTERS, IF_NOT_EQUAL, counting, 0,
						  block_of(qemu_plugin_tb_vaddr(tb), n));
}

int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	if (argc != 1 || strncmp(argv[0], "out=", 4))
		return 1;
	out = fopen(argv[0] + 4, "w");
	if (!out)
		return 1;
	counting.score = qemu_plugin_scoreboard_new(sizeof(uint64_t));
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated, NULL);
	return 0;
}
