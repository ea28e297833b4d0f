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

#endif
