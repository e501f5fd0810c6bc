// SPDX-License-Identifier: GPL-2.0
#include <sys/mman.h>
#include "ktap.h"

struct ktap_case ktap_cases[KTAP_MAX];
int ktap_count;

int ktap_ms(int ms)
{
	const char *slowness = getenv("KTAP_SLOWNESS");

	return slowness ? ms * atoi(slowness) : ms;
}

/* Leaves only the cases that are named. */
static void choose(char **names)
{
	int chosen = 0;

	for (int i = 0; i < ktap_count; i++)
		for (char **name = names; *name; name++)
			if (!strcmp(ktap_cases[i].name, *name)) {
				ktap_cases[chosen++] = ktap_cases[i];
				break;
			}
	ktap_count = chosen;
}

int ktap_main(char **names, void (*cleanup)(void))
{
	int failed = 0, limit = ktap_ms(KTAP_TIMEOUT_MS);

	if (*names)
		choose(names);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..%d\n", ktap_count);
	for (int i = 0; i < ktap_count; i++) {
		int status = 0, waited = 0;
		pid_t pid = fork();

		if (pid == 0) {
			setpgid(0, 0);
			ktap_cases[i].run();
			fflush(stdout);
			_exit(0);
		}
		while (waitpid(pid, &status, WNOHANG) == 0 && waited < limit) {
			usleep(10000);
			waited += 10;
		}
		if (waited >= limit) {
			printf("# %s: no end after %d ms\n", ktap_cases[i].name, limit);
			status = -1;
		}
		kill(-pid, SIGKILL);
		kill(pid, SIGKILL);
		if (cleanup)
			cleanup();
		if (status == -1)
			waitpid(pid, NULL, 0);
		if (status != -1 && WIFSIGNALED(status))
			printf("# %s: killed by signal %d\n", ktap_cases[i].name, WTERMSIG(status));
		if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == KTAP_SKIP) {
			printf("ok %d %s # SKIP\n", i + 1, ktap_cases[i].name);
		} else if (status == 0) {
			printf("ok %d %s\n", i + 1, ktap_cases[i].name);
		} else {
			printf("not ok %d %s\n", i + 1, ktap_cases[i].name);
			failed++;
		}
	}
	printf("# %d of %d failed\n", failed, ktap_count);
	return failed ? 1 : 0;
}

int exit_of(pid_t pid)
{
	int status;

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

void kill_child(pid_t pid)
{
	int status;

	CHECK_EQ(kill(pid, SIGKILL), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status));
}

void *ktap_shared(size_t len)
{
	void *mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(mem != MAP_FAILED);
	return mem;
}
