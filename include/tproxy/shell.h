/*
 * Safe text for terminals and shells, from names that others choose: processes, links, chains, files.
 *
 * Every such name in a command goes through shell_format(), and every one that is shown through shell_printable().
 * So a user who can name a process can neither write control characters to root's terminal nor change the command
 * that root pastes.
 */
#ifndef TPROXY_SHELL_H
#define TPROXY_SHELL_H

/*
 * A command for sh(1), to be freed. As printf(3) with %d, %u, %x, %c, %s and %%; each %s is quoted if necessary, as
 * a word or a part of one. NULL: a %s cannot be typed, because it has control characters or is not UTF-8.
 */
char *shell_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * TEXT as one line that is safe to show, to be freed. Line ends and tabs become blanks. Each byte of a control
 * character (those of Unicode and of text direction included), or of what is not UTF-8, becomes \xNN.
 */
char *shell_printable(const char *text);

#endif
