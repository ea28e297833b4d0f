/*
 * The state file: one that is not exactly what we wrote is refused as a whole.
 */
#include "ctl/subcommands.h"
#include "rulesets.h"
#include "setup/state_file.h"
#include "tproxy/text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/state-XXXXXX";
static char *path, *fresh;

static json_t *whole(const char *name)
{
	char *text = fixture_text("state", name);
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

	free(text);
	assert_non_null(root);
	return root;
}

static void write_state(const char *text)
{
	FILE *file;

	unlink(path);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* Opens the file; its messages are not for the test's output. */
static int opened(struct state_file *state_file, bool changes)
{
	int kept = dup(STDERR_FILENO), nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC), status;

	assert_true(dup2(nowhere, STDERR_FILENO) != -1);
	status = state_file_open(state_file, path, changes);
	dup2(kept, STDERR_FILENO);
	close(nowhere);
	close(kept);
	return status;
}

static void assert_refused(void)
{
	struct state_file state_file;

	for (int changes = 0; changes < 2; changes++) {
		assert_int_equal(opened(&state_file, changes != 0), STATUS_USAGE);
		assert_false(state_file.applied);
		assert_int_equal(state_file.lock, -1);
	}
}

/* What is wrong with a state file, to be freed, or NULL; what was read must be written in the same way. */
static char *problem_of(const json_t *root)
{
	struct state_file state_file = {.lock = -1};
	char *problem = state_file_read(&state_file, root);

	if (problem == NULL) {
		json_t *again;

		state_file.applied = true;
		again = state_file_json(&state_file, false);
		if (!json_equal(root, again))
			fail_msg("what was read is written in another way");
		json_decref(again);
	}
	state_file_close(&state_file);
	return problem;
}

static const char *const fixtures[] = {"nft.json", "iptables.json", "iptables-legacy.json"};

static void what_apply_wrote_is_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		json_t *root = whole(fixtures[i]);
		char *problem = problem_of(root);

		if (problem != NULL)
			fail_msg("%s: %s", fixtures[i], problem);
		json_decref(root);
	}
}

/* Values of every type; none of them may stand anywhere in the file. */
static json_t *wrong_value(int which)
{
	switch (which) {
	case 0:
		return json_null();
	case 1:
		return json_real(1.5);
	case 2:
		return json_integer(-1);
	case 3:
		return json_string("");
	case 4:
		return json_string("net/../../etc/passwd");
	case 5:
		return json_pack("[i]", 1);
	case 6:
		return json_object();
	case 7:
		return json_true();
	default:
		return NULL;
	}
}

enum {
	WRONG_VALUES = 8
};

/* Whether a value is fine where it is put, although it is a wrong one elsewhere. */
static bool is_fine(const char *key, const json_t *value)
{
	if (strcmp(key, "chains_before") == 0)
		return json_is_null(value);
	if (strcmp(key, "registers") == 0)
		return json_is_boolean(value);
	return json_string_length(value) > 0 &&
	       (strcmp(key, "why") == 0 || strcmp(key, "seen") == 0 || strcmp(key, "input") == 0 ||
		       strcmp(key, "since") == 0 || strcmp(key, "boot") == 0 ||
		       strcmp(key, "namespace") == 0 || strcmp(key, "notes") == 0);
}

static void assert_problem(const json_t *root, const char *key, const char *how)
{
	char *problem = problem_of(root);

	if (problem == NULL) {
		fail_msg("`%s` %s is taken", key, how);
		return;
	}
	/* What is wrong inside of these two is named by itself. */
	if (strstr(problem, key) == NULL && strcmp(key, "plan") != 0 && strcmp(key, "steps") != 0)
		fail_msg("`%s` %s: %s", key, how, problem);
	free(problem);
}

/* Each member of OBJECT, a part of ROOT: without it, and with each wrong value in its place. */
static void damage(json_t *root, json_t *object)
{
	json_t *kept = json_copy(object), *value;
	const char *key;

	json_object_foreach(kept, key, value)
	{
		bool optional = strcmp(key, "chains_before") == 0 ||
				strcmp(key, "registers") == 0 || strcmp(key, "mark") == 0 ||
				strcmp(key, "table") == 0 || strcmp(key, "notes") == 0;

		json_object_del(object, key);
		if (!optional)
			assert_problem(root, key, "that is missing");
		for (int i = 0; i < WRONG_VALUES; i++) {
			json_t *wrong = wrong_value(i);

			json_object_set_new(object, key, wrong);
			if (!is_fine(key, wrong))
				assert_problem(root, key, "of another type");
		}
		json_object_set(object, key, value);
	}
	json_object_set_new(object, "more", json_true());
	assert_problem(root, "more", "that is not known");
	json_object_del(object, "more");
	json_decref(kept);
}

static void every_part_of_it_is_asked_for(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		json_t *root = whole(fixtures[i]), *plan = json_object_get(root, "plan"), *step;
		size_t j;

		damage(root, root);
		damage(root, plan);
		json_array_foreach(json_object_get(plan, "steps"), j, step) damage(root, step);
		json_array_append_new(json_object_get(plan, "steps"), json_integer(1));
		assert_problem(root, "step", "that is no object");
		json_decref(root);
	}
}

static void a_prefix_that_would_be_more_than_a_word_is_refused(void **state)
{
	static const char *const wrong[] = {"0.0.0.0", "/0", "0.0.0.0/", "0.0.0.0/129", "default/0",
		"0.0.0.0/0 dev eth0", "0.0.0.0/0 table main", "'a b'/0", "192.0.2.80 table main/32",
		"fe80::1%eth0/128"};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		json_t *root = whole("nft.json");
		json_t *steps = json_object_get(json_object_get(root, "plan"), "steps");

		json_object_set_new(json_array_get(steps, 1), "to", json_string(wrong[i]));
		assert_problem(root, "to", wrong[i]);
		json_decref(root);
	}
}

static void a_text_that_is_cut_or_nested_without_end_is_refused(void **state)
{
	char *text = fixture_text("state", "nft.json");
	size_t length = strlen(text), depth = 1 << 20;
	char *deep = malloc(depth + 1);

	(void)state;
	for (size_t cut = 0; cut < length - 2; cut += 13) {
		char *part = strndup(text, cut);

		write_state(part);
		assert_refused();
		free(part);
	}
	assert_non_null(deep);
	memset(deep, '[', depth);
	deep[depth] = '\0';
	write_state(deep);
	assert_refused();
	write_state("{\"format\": 1, \"format\": 1}");
	assert_refused();
	free(deep);
	free(text);
}

static void what_others_can_write_is_not_used(void **state)
{
	char *text = fixture_text("state", "nft.json");

	(void)state;
	write_state(text);
	assert_int_equal(chmod(path, 0666), 0);
	assert_refused();
	unlink(path);
	assert_int_equal(symlink("/proc/self/status", path), 0);
	assert_refused();
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refused();
	unlink(path);
	free(text);
}

static void the_fresh_file_follows_no_link(void **state)
{
	char *elsewhere = text_format("%s/elsewhere", folder);
	struct plan plan = {.recipe = RECIPE_LOCAL_ROUTE, .tool = TOOL_NFT};
	struct state_file state_file;
	struct stat about;
	int fd = open(elsewhere, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	assert_int_equal(write(fd, "kept", 4), 4);
	close(fd);
	unlink(path);
	assert_int_equal(symlink(elsewhere, fresh), 0);
	assert_int_equal(opened(&state_file, true), STATUS_OK);
	state_file_start(&state_file, &plan);
	assert_true(state_file_write(&state_file));
	state_file_close(&state_file);
	assert_int_equal(lstat(path, &about), 0);
	assert_true(S_ISREG(about.st_mode));
	assert_int_equal(stat(elsewhere, &about), 0);
	assert_int_equal(about.st_size, 4);
	assert_int_equal(lstat(fresh, &about), -1);
	assert_int_equal(opened(&state_file, false), STATUS_OK);
	assert_true(state_file.applied);
	assert_true(state_file_remove(&state_file));
	state_file_close(&state_file);
	unlink(elsewhere);
	free(elsewhere);
}

/* From here on flock() fails with ENOLCK, as it does on some network file systems. */
static void refuse_locks(void)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_flock, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOLCK),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {sizeof(steps) / sizeof(steps[0]), steps};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
		_exit(99);
}

static void why_a_folder_cannot_be_locked_is_reported(void **state)
{
	char message[1024] = "";
	struct state_file state_file;
	int errors[2], status;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(errors), 0);
	child = fork();
	if (child == 0) {
		dup2(errors[1], STDERR_FILENO);
		refuse_locks();
		_exit(state_file_open(&state_file, path, true));
	}
	close(errors[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(read(errors[0], message, sizeof(message) - 1) > 0);
	close(errors[0]);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), STATUS_PROBLEM);
	assert_non_null(strstr(message, "cannot be locked: No locks available"));
	assert_null(strstr(message, "another tproxyctl"));
}

static int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	path = text_format("%s/state.json", folder);
	fresh = text_format("%s.new", path);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	unlink(fresh);
	free(path);
	free(fresh);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_apply_wrote_is_whole),
		cmocka_unit_test(every_part_of_it_is_asked_for),
		cmocka_unit_test(a_prefix_that_would_be_more_than_a_word_is_refused),
		cmocka_unit_test(a_text_that_is_cut_or_nested_without_end_is_refused),
		cmocka_unit_test(what_others_can_write_is_not_used),
		cmocka_unit_test(the_fresh_file_follows_no_link),
		cmocka_unit_test(why_a_folder_cannot_be_locked_is_reported),
	};

	return cmocka_run_group_tests_name("state file", tests, make_folder, remove_folder);
}
