// SPDX-License-Identifier: GPL-2.0
/*
 * features MOUNT SOURCE: what the mount of a passthrough of the directory SOURCE can do, as words:
 *
 *   mmap         a shared mapping can be written to
 *   writeback    what is written is in the page cache first (WRITEBACK_CACHE)
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME ".features"

int main(int argc, char **argv)
{
	char path[4096], source[4096];
	struct stat below;
	void *map;
	int fd;

	if (argc != 3) {
		fprintf(stderr, "usage: features MOUNT SOURCE\n");
		return 2;
	}
	snprintf(path, sizeof(path), "%s/" NAME, argv[1]);
	snprintf(source, sizeof(source), "%s/" NAME, argv[2]);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || write(fd, "x", 1) != 1 || stat(source, &below)) {
		perror(path);
		return 1;
	}
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	printf("%s%s\n", map == MAP_FAILED ? "" : "mmap ", below.st_size ? "" : "writeback");
	close(fd);
	unlink(path);
	return 0;
}
