// SPDX-License-Identifier: GPL-2.0
#include "hold.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rawfs_req *kept[HELD_MAX];
static int nkept;
static atomic_uint kind;

bool (*unheld)(struct rawfs *fs, struct rawfs_req *req);

static struct rawfs_req *copy_of(const struct rawfs_req *req)
{
	struct rawfs_req *copy = malloc(sizeof(*copy));

	copy->in = req->in;
	copy->len = req->len;
	memcpy(copy->body, req->body, req->len + 1);
	return copy;
}

static bool keep(struct rawfs *fs, struct rawfs_req *req)
{
	if (!kind || req->in.opcode != kind)
		return unheld && unheld(fs, req);
	pthread_mutex_lock(&lock);
	CHECK(nkept < HELD_MAX);
	kept[nkept++] = copy_of(req);
	pthread_mutex_unlock(&lock);
	return true;
}

struct rawfs *holding(struct rawfs *fs)
{
	special = keep;
	return recording(fs);
}

void hold(uint32_t opcode)
{
	kind = opcode;
}

int held(void)
{
	int n;

	pthread_mutex_lock(&lock);
	n = nkept;
	pthread_mutex_unlock(&lock);
	return n;
}

void *held_body(int which)
{
	CHECK(which < held());
	return kept[which]->body;
}

static struct rawfs_req *take(int which)
{
	struct rawfs_req *req;

	pthread_mutex_lock(&lock);
	CHECK(which < nkept);
	req = kept[which];
	memmove(kept + which, kept + which + 1, (--nkept - which) * sizeof(kept[0]));
	pthread_mutex_unlock(&lock);
	return req;
}

void let_go(struct rawfs *fs, int which, int error)
{
	struct rawfs_req *req = take(which);

	if (error)
		rawfs_reply(fs->fd, req->in.unique, error, NULL, 0);
	else if (!unheld || !unheld(fs, req))
		rawfs_default(fs, req);
	free(req);
}

void let_all_go(struct rawfs *fs)
{
	hold(0);
	while (held())
		let_go(fs, 0, 0);
}
