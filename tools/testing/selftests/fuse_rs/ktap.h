/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Test cases in KTAP form. A program is a list of TEST(name) { ... } functions and TEST_MAIN.
 * Each case runs in a child of its own, so that a hang or crash is one failed case.
 */
#ifndef KTAP_H
#define KTAP_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define KTAP_MAX 128
#define KTAP_TIMEOUT_MS 20000
#define KTAP_SKIP 4

struct ktap_case {
	const char *name;
	void (*run)(void);
};

extern struct ktap_case ktap_cases[KTAP_MAX];
extern int ktap_count;

#define TEST(id)                                                                                   \
	static void test_##id(void);                                                               \
	__attribute__((constructor)) static void add_##id(void)                                    \
	{                                                                                          \
		ktap_cases[ktap_count++] = (struct ktap_case){ #id, test_##id };                   \
	}                                                                                          \
	static void test_##id(void)

/* Ends the case as failed, with the place and the errno of the moment. */
#define FAIL(...)                                                                                  \
	do {                                                                                       \
		int ktap_errno = errno;                                                            \
		printf("# %s:%d: ", __FILE__, __LINE__);                                           \
		printf(__VA_ARGS__);                                                               \
		printf(" (errno %d %s)\n", ktap_errno, strerror(ktap_errno));                      \
		fflush(stdout);                                                                    \
		_exit(1);                                                                          \
	} while (0)

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			FAIL("%s", #cond);                                                         \
	} while (0)

#define CHECK_EQ(a, b)                                                                             \
	do {                                                                                       \
		long long ktap_a = (long long)(a), ktap_b = (long long)(b);                        \
		if (ktap_a != ktap_b)                                                              \
			FAIL("%s is %lld, expected %s = %lld", #a, ktap_a, #b, ktap_b);            \
	} while (0)

/* The call fails with this errno. */
#define CHECK_ERR(call, err)                                                                       \
	do {                                                                                       \
		errno = 0;                                                                         \
		long long ktap_r = (long long)(call);                                              \
		if (ktap_r != -1 || errno != (err))                                                \
			FAIL("%s gave %lld, expected " #err, #call, ktap_r);                       \
	} while (0)

#define SKIP(why)                                                                                  \
	do {                                                                                       \
		printf("# SKIP %s\n", why);                                                        \
		fflush(stdout);                                                                    \
		_exit(KTAP_SKIP);                                                                  \
	} while (0)

/* Whether the Rust client serves FUSE_DEV: it is loaded, and not beside a C driver that does. */
static inline bool ktap_is_rs(void)
{
	const char *dev = getenv("FUSE_DEV");

	return !access("/sys/module/fuse_rs", F_OK) &&
	       (access("/dev/fuse_rs", F_OK) || (dev && !strcmp(dev, "/dev/fuse_rs")));
}

/* Here we mean to do better than the C driver. */
#define RS_ONLY(why)                                                                               \
	do {                                                                                       \
		if (!ktap_is_rs())                                                                 \
			SKIP("not the Rust client: " why);                                         \
	} while (0)

/* Waits for a child; the case fails if it did not exit by itself. */
int exit_of(pid_t pid);
/* Kills a child that is still there, and waits for its end. */
void kill_child(pid_t pid);
/* Memory, zeroed, that this process shares with the children it gets. */
void *ktap_shared(size_t len);
/*
 * A time limit in milliseconds, made longer on kernels that are slow: KTAP_SLOWNESS in the
 * environment says how many times.
 */
int ktap_ms(int ms);

/* Runs `call` in a child, and returns its errno, or zero. */
#define IN_CHILD(call)                                                                             \
	({                                                                                         \
		pid_t ic_pid = fork();                                                             \
		if (ic_pid == 0)                                                                   \
			_exit((call) < 0 ? errno : 0);                                             \
		exit_of(ic_pid);                                                                   \
	})

/* The same as nobody. */
#define AS_NOBODY(call) IN_CHILD(setgid(65534) || setuid(65534) ? -1 : (call))

/* Runs all cases, or those that are named; `cleanup` is called in the parent after each. */
int ktap_main(char **names, void (*cleanup)(void));

#endif
