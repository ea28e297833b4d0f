/*
 * Prints a report (check/check.h): for people, and as JSON for programs.
 */
#ifndef REPORT_PRINTERS_H
#define REPORT_PRINTERS_H

#include "check/check.h"

/*
 * Prints for people: what is wrong first, each command once; with VERBOSE the items that are ok, too. The
 * last lines say the result, and what lets the unjudged items be judged. The caller checks OUT for errors.
 */
void report_print(const struct check_report *report, bool verbose, FILE *out);

/* Prints one JSON object (fixtures/schema/check.schema.json). False if it cannot be written. */
bool report_print_json(const struct check_report *report, FILE *out);

/*
 * Writes one text to a new file at PATH that can be put into a bug report: what check found, versions, and the rules and routes
 * of this host. REDACT: public addresses are replaced (redact.h). False with errno, and then there is no file.
 */
bool report_write(const struct check_report *report, const char *path, bool redact);

#endif
