/*
 * Text for terminals and shells, made of names that others chose: processes, links, chains, files.
 *
 * Whatever a command has in it that is not ours goes through shell_format(), and whatever is shown goes
 * through shell_printable(). A user who may name a process can then neither write to root's terminal nor
 * into the command that root pastes.
 */
#ifndef TPROXY_SHELL_H
#define TPROXY_SHELL_H

/*
 * A command for sh(1), in memory of the caller's. As printf() of %d, %u, %x, %c and %s, where each %s is
 * quoted, as a word or as a part of one, if it has to be. NULL where a %s cannot be typed: it has control
 * characters, or is not UTF-8.
 */
char *shell_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * TEXT as one line that is safe to show, in memory of the caller's: line ends and tabs are blanks, and \xNN
 * stands for each byte of control characters (those of Unicode and of text direction included) and of what
 * is not UTF-8.
 */
char *shell_printable(const char *text);

#endif
