/*
 * Dropping privileges: everything goes but CAP_NET_RAW, the least that IP_TRANSPARENT asks for.
 *
 * The order matters: groups and user change while the right to change them is still there, the
 * capability is kept across it, and no_new_privs comes last. Without root there is nothing to
 * change but the capability set.
 */
#include "tproxy/privileges.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <unistd.h>

int privileges_resolve(
	const struct global *global, const char *path, struct identity *identity, struct diag *diag)
{
	*identity = (struct identity){.uid = geteuid(), .gid = getegid()};
	if (global->user != NULL) {
		/* cppcheck-suppress getpwnamCalled ; no thread runs yet */
		const struct passwd *user = getpwnam(global->user);

		if (user == NULL) {
			diag_add(diag, DIAG_ERROR, path, 0, global->user,
				"there is no such user on this host");
			return -1;
		}
		*identity = (struct identity){.uid = user->pw_uid, .gid = user->pw_gid};
	}
	if (global->group != NULL) {
		/* cppcheck-suppress getgrnamCalled ; no thread runs yet */
		const struct group *group = getgrnam(global->group);

		if (group == NULL) {
			diag_add(diag, DIAG_ERROR, path, 0, global->group,
				"there is no such group on this host");
			return -1;
		}
		identity->gid = group->gr_gid;
	}
	return 0;
}

static int change_identity(const struct identity *identity)
{
	bool other = identity->uid != geteuid() || identity->gid != getegid();
	int failed;

	if (!other)
		return capng_apply(CAPNG_SELECT_CAPS) == 0 ? 0 : -1;
	failed = capng_change_id((int)identity->uid, (int)identity->gid, CAPNG_DROP_SUPP_GRP);
	if (failed == 0)
		return 0;
	if (errno == 0)
		errno = EPERM;
	return -1;
}

int privileges_drop(const struct identity *identity, bool transparent)
{
	bool keep;

	if (capng_get_caps_process() == -1)
		return -1;
	keep = transparent && capng_have_capability(CAPNG_PERMITTED, CAP_NET_RAW);
	capng_clear(CAPNG_SELECT_CAPS);
	if (keep)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_RAW);
	errno = 0;
	if (change_identity(identity) == -1)
		return -1;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
