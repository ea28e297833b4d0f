/*
 * Differences by Myers' algorithm (An O(ND) Difference Algorithm and Its Variations, 1986, section 4).
 *
 * A shortest way leads from the start of both texts to their ends: to the right removes an old line, down adds a new one, and
 * a diagonal keeps one that both have. With D such steps the farthest point on each diagonal is known from those
 * with D - 1. All of them are kept, to find the way back; their number grows with D squared, so D is bounded. Texts that
 * differ more have everything between their common beginning and their common end replaced.
 *
 * Lines are compared by numbers: the same line has the same one.
 */
#include "difference.h"

#include "messages.h"

#include "tproxy/array.h"
#include "tproxy/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
	STEPS_MAX = 4000, /* of D: 64 MB of points at most */
	CONTEXT = 3,
};

struct line {
	const char *text;
	size_t length; /* with its line feed */
	unsigned number;
};

struct lines {
	struct line *list;
	size_t count;
};

enum kind {
	SAME,
	REMOVED,
	ADDED
};

struct row {
	enum kind kind;
	size_t old, new; /* indexes of the next lines of both texts */
};

struct difference {
	struct lines old, new;
	struct row *rows;
	size_t count;
};

/* --- lines as numbers --- */

static void *allocate(size_t count, size_t size)
{
	void *list = calloc(count + 1, size);

	if (list == NULL)
		abort(); /* out of memory */
	return list;
}

static struct lines split(const char *text, size_t length)
{
	const char *end = text + length, *feed;
	struct lines lines = {allocate(1, sizeof(*lines.list)), 0};

	for (; text < end; text += lines.list[lines.count - 1].length) {
		feed = memchr(text, '\n', (size_t)(end - text));
		lines.list = array_room(lines.list, lines.count, sizeof(*lines.list));
		lines.list[lines.count++] =
			(struct line){text, (size_t)((feed == NULL ? end : feed + 1) - text), 0};
	}
	return lines;
}

static size_t hash(const struct line *line)
{
	uint64_t sum = 14695981039346656037U; /* FNV-1a */

	for (size_t i = 0; i < line->length; i++)
		sum = (sum ^ (unsigned char)line->text[i]) * 1099511628211U;
	return (size_t)(sum ^ (sum >> 32));
}

/* Numbers the lines; TABLE has ROOM slots, a power of two with more than there are lines in all. */
static void number_lines(
	struct lines *lines, const struct line **table, size_t room, unsigned *next)
{
	for (size_t i = 0; i < lines->count; i++) {
		struct line *line = &lines->list[i];
		size_t slot = hash(line) & (room - 1);

		while (table[slot] != NULL &&
			(table[slot]->length != line->length ||
				memcmp(table[slot]->text, line->text, line->length) != 0))
			slot = (slot + 1) & (room - 1);
		line->number = table[slot] != NULL ? table[slot]->number : (*next)++;
		if (table[slot] == NULL)
			table[slot] = line;
	}
}

static void number_both(struct lines *old, struct lines *new)
{
	size_t room = 16;
	const struct line **table;
	unsigned next = 1;

	while (room < 2 * (old->count + new->count))
		room *= 2;
	table = allocate(room, sizeof(struct line *));
	number_lines(old, table, room, &next);
	number_lines(new, table, room, &next);
	free(table);
}

/* --- the way --- */

/* The part of both texts between their common beginning and end. */
struct middle {
	const struct line *old, *new;
	int old_count, new_count;
};

/* How far to the right the way to diagonal K (old minus new) came with one step more than the points of BEFORE. */
static int farthest(const struct middle *middle, const int *before, int k, int steps)
{
	bool down = k == -steps || (k != steps && before[k - 1] < before[k + 1]);
	int x = steps == 0 ? 0 : down ? before[k + 1] : before[k - 1] + 1;

	while (x < middle->old_count && x - k < middle->new_count &&
		middle->old[x].number == middle->new[x - k].number)
		x++;
	return x;
}

/* The points of each number of steps, one behind the other: those of D are D + 1, from diagonal -D on, each second one. */
static size_t points_before(int steps)
{
	return (size_t)steps * ((size_t)steps + 1) / 2;
}

/* The list with room for the points of so many steps: it doubles, since it moves. */
static int *points_room(int *points, size_t *room, int steps)
{
	if (points_before(steps + 1) <= *room)
		return points;
	*room = 2 * points_before(steps + 1);
	points = reallocarray(points, *room, sizeof(*points));
	if (points == NULL)
		abort(); /* out of memory */
	return points;
}

/* Finds the points up to the end of both. Returns the number of steps, or -1 where they are too many. */
static int find_points(const struct middle *middle, int **points)
{
	int limit = middle->old_count + middle->new_count;
	int *row = allocate(2 * STEPS_MAX + 3, sizeof(*row)), *at = row + STEPS_MAX + 1;
	int steps = 0;
	size_t room = 0;

	*points = NULL;
	for (bool found = false; !found && steps <= limit && steps <= STEPS_MAX;
		steps += found ? 0 : 1) {
		*points = points_room(*points, &room, steps);
		for (int k = -steps; k <= steps && !found; k += 2) {
			/* The other diagonals of the row are those of one step less. */
			at[k] = farthest(middle, at, k, steps);
			found = at[k] >= middle->old_count && at[k] - k >= middle->new_count;
		}
		for (int k = -steps; k <= steps; k += 2)
			(*points)[points_before(steps) + (size_t)(k + steps) / 2] = at[k];
	}
	free(row);
	return steps > STEPS_MAX ? -1 : steps;
}

/* Marks the lines of the middle that are removed and added, by going the way back. */
static void mark_way(
	const struct middle *middle, const int *points, int steps, bool *removed, bool *added)
{
	int k = middle->old_count - middle->new_count;

	for (; steps > 0; steps--) {
		const int *before = points + points_before(steps - 1);
		int left = k == -steps ? -1 : before[(k - 1 + steps - 1) / 2];
		int right = k == steps ? -1 : before[(k + 1 + steps - 1) / 2];

		if (k == -steps || (k != steps && left < right)) {
			added[right - k - 1] = true;
			k++;
		} else {
			removed[left] = true;
			k--;
		}
	}
}

static void mark(const struct middle *middle, bool *removed, bool *added)
{
	int *points;
	int steps = find_points(middle, &points);

	if (steps >= 0) {
		mark_way(middle, points, steps, removed, added);
	} else {
		memset(removed, true, (size_t)middle->old_count);
		memset(added, true, (size_t)middle->new_count);
	}
	free(points);
}

/* --- rows --- */

static void add_row(struct difference *difference, enum kind kind, size_t *old, size_t *new)
{
	difference->rows =
		array_room(difference->rows, difference->count, sizeof(*difference->rows));
	difference->rows[difference->count++] = (struct row){kind, *old, *new};
	*old += kind != ADDED;
	*new += kind != REMOVED;
}

static void difference_begin(struct difference *difference, const char *old_text, size_t old_length,
	const char *new_text, size_t new_length)
{
	struct lines old = split(old_text, old_length), new = split(new_text, new_length);
	bool *removed = allocate(old.count, sizeof(bool)),
	     *added = allocate(new.count, sizeof(bool));
	size_t first = 0, last = 0, least = old.count < new.count ? old.count : new.count;
	struct middle middle;

	*difference = (struct difference){.old = old, .new = new};
	number_both(&old, &new);
	while (first < least && old.list[first].number == new.list[first].number)
		first++;
	while (last < least - first &&
		old.list[old.count - 1 - last].number == new.list[new.count - 1 - last].number)
		last++;
	middle = (struct middle){old.list + first, new.list + first,
		(int)(old.count - first - last), (int)(new.count - first - last)};
	if (middle.old_count > 0 || middle.new_count > 0)
		mark(&middle, removed + first, added + first);
	for (size_t i = 0, j = 0; i < old.count || j < new.count;) {
		if (i < old.count && removed[i])
			add_row(difference, REMOVED, &i, &j);
		else if (j < new.count && added[j])
			add_row(difference, ADDED, &i, &j);
		else
			add_row(difference, SAME, &i, &j);
	}
	free(removed);
	free(added);
}

static void difference_end(struct difference *difference)
{
	free(difference->old.list);
	free(difference->new.list);
	free(difference->rows);
}

/* The rows from *FROM on that are shown together; *END is behind them. False: there are no more. */
static bool next_group(
	const struct difference *difference, size_t context, size_t *from, size_t *end)
{
	size_t begin = *from, at, same = 0;

	while (begin < difference->count && difference->rows[begin].kind == SAME)
		begin++;
	if (begin == difference->count)
		return false;
	for (at = begin; at < difference->count && same <= 2 * context; at++)
		same = difference->rows[at].kind == SAME ? same + 1 : 0;
	*end = same > context ? at - (same - context) : at;
	*from = begin - *from > context ? begin - context : *from;
	return true;
}

/* --- as diff -u --- */

static void print_row(FILE *out, const struct difference *difference, const struct row *row)
{
	const struct line *line = row->kind == ADDED ? &difference->new.list[row->new]
						     : &difference->old.list[row->old];

	fputc(" -+"[row->kind], out);
	fwrite(line->text, 1, line->length, out);
	if (line->text[line->length - 1] != '\n')
		fputs("\n\\ No newline at end of file\n", out);
}

/* A range as `diff -u` writes it: a count of 1 is left out, and an empty range has the line before it. */
static void print_range(FILE *out, char sign, size_t first, size_t count)
{
	fprintf(out, "%c%zu", sign, count == 0 ? first : first + 1);
	if (count != 1)
		fprintf(out, ",%zu", count);
}

static void print_group(FILE *out, const struct difference *difference, size_t from, size_t end)
{
	size_t counts[2] = {0, 0};

	for (size_t i = from; i < end; i++) {
		counts[0] += difference->rows[i].kind != ADDED;
		counts[1] += difference->rows[i].kind != REMOVED;
	}
	fputs("@@ ", out);
	print_range(out, '-', difference->rows[from].old, counts[0]);
	fputc(' ', out);
	print_range(out, '+', difference->rows[from].new, counts[1]);
	fputs(" @@\n", out);
	for (size_t i = from; i < end; i++)
		print_row(out, difference, &difference->rows[i]);
}

char *difference_unified(const char *old_name, const char *old_text, size_t old_length,
	const char *new_name, const char *new_text, size_t new_length)
{
	struct difference difference;
	struct text_stream stream;

	difference_begin(&difference, old_text, old_length, new_text, new_length);
	text_begin(&stream);
	for (size_t from = 0, end; next_group(&difference, CONTEXT, &from, &end); from = end) {
		if (ftell(stream.out) == 0)
			fprintf(stream.out, "--- %s\n+++ %s\n", old_name, new_name);
		print_group(stream.out, &difference, from, end);
	}
	difference_end(&difference);
	return text_end(&stream);
}

/* --- for display --- */

static json_t *row_json(const struct difference *difference, const struct row *row)
{
	static const char *const kinds[] = {"same", "removed", "added"};
	const struct line *line = row->kind == ADDED ? &difference->new.list[row->new]
						     : &difference->old.list[row->old];
	size_t length = line->length;
	char *text;
	json_t *object;

	if (length > 0 && line->text[length - 1] == '\n')
		length--;
	if (length > 0 && line->text[length - 1] == '\r')
		length--;
	text = text_format("%.*s", (int)length, line->text);
	object = json_pack("{s:s, s:i, s:i, s:o}", "kind", kinds[row->kind], "old",
		row->kind == ADDED ? 0 : (int)row->old + 1, "new",
		row->kind == REMOVED ? 0 : (int)row->new + 1, "text", json_plain_text(text));
	free(text);
	return object;
}

static void add_gap(json_t *rows, size_t count)
{
	if (count > 0)
		json_array_append_new(
			rows, json_pack("{s:s, s:i}", "kind", "gap", "count", (int)count));
}

json_t *difference_rows(const char *old_text, size_t old_length, const char *new_text,
	size_t new_length, size_t context)
{
	struct difference difference;
	json_t *rows = json_array();
	size_t shown = 0;

	difference_begin(&difference, old_text, old_length, new_text, new_length);
	for (size_t from = 0, end; next_group(&difference, context, &from, &end); from = end) {
		add_gap(rows, from - shown);
		for (size_t i = from; i < end; i++)
			json_array_append_new(rows, row_json(&difference, &difference.rows[i]));
		shown = end;
	}
	add_gap(rows, difference.count - shown);
	difference_end(&difference);
	return rows;
}
