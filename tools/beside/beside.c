// SPDX-License-Identifier: GPL-2.0
/*
 * beside: runs an unmodified libfuse program on a driver with other names.
 *
 *   beside [-d DEVICE] [-t TYPE] [-o OPTIONS] MOUNTPOINT COMMAND... {} ...
 *
 * It opens the device, mounts it at MOUNTPOINT, and starts COMMAND with `{}` replaced by
 * /dev/fd/N, which libfuse 3 takes for a file system that is mounted already.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const char *device = "/dev/fuse_rs", *type = "fuse_rs", *more = "";
	char options[512], fd_path[32];
	int fd, c;

	while ((c = getopt(argc, argv, "+d:t:o:")) != -1) {
		if (c == 'd')
			device = optarg;
		else if (c == 't')
			type = optarg;
		else if (c == 'o')
			more = optarg;
		else
			return 2;
	}
	if (argc - optind < 2) {
		fprintf(stderr, "usage: beside [-d DEVICE] [-t TYPE] [-o OPTIONS] "
				"MOUNTPOINT COMMAND... {} ...\n");
		return 2;
	}
	fd = open(device, O_RDWR);
	if (fd < 0) {
		perror(device);
		return 1;
	}
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%d,group_id=%d%s%s", fd,
		 getuid(), getgid(), *more ? "," : "", more);
	if (mount("beside", argv[optind], type, MS_NOSUID | MS_NODEV, options)) {
		perror("beside: mount");
		return 1;
	}
	snprintf(fd_path, sizeof(fd_path), "/dev/fd/%d", fd);
	for (int i = optind + 1; i < argc; i++)
		if (!strcmp(argv[i], "{}"))
			argv[i] = fd_path;
	execvp(argv[optind + 1], argv + optind + 1);
	perror(argv[optind + 1]);
	umount(argv[optind]);
	return 1;
}
