/*
 * Misspelt words: the edit distance, in which two swapped neighbours count as one mistake.
 *
 * The whole table is kept, because a swap looks two rows back. Words are short, so it is small.
 */
#include "tproxy/spelling.h"

#include <string.h>

enum {
	LONGEST = 40,
	NEAR = 2
};

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t spelling_mistakes(const char *a, const char *b)
{
	size_t table[LONGEST + 1][LONGEST + 1], a_length = strlen(a), b_length = strlen(b);

	if (a_length > LONGEST || b_length > LONGEST)
		return LONGEST;
	if (a_length > b_length + NEAR || b_length > a_length + NEAR)
		return LONGEST;
	for (size_t i = 0; i <= a_length; i++) {
		for (size_t j = 0; j <= b_length; j++) {
			size_t *here = &table[i][j];

			*here = i + j;
			if (i == 0 || j == 0)
				continue;
			*here = table[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			*here = smaller(*here, table[i - 1][j] + 1);
			*here = smaller(*here, table[i][j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				*here = smaller(*here, table[i - 2][j - 2] + 1);
		}
	}
	return table[a_length][b_length];
}

bool spelling_is_near(const char *word, const char *name)
{
	size_t mistakes = spelling_mistakes(word, name);

	return mistakes <= NEAR && 2 * mistakes < strlen(word);
}
