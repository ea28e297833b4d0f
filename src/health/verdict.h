/* What a verdict says of an expectation that was not met. */
#ifndef HEALTH_VERDICT_H
#define HEALTH_VERDICT_H

#include "tproxy/health_script.h"

/* Fills VERDICT's info, and its code where the answer has one. INFO is what is known already, or "". MATCHED: see the step. */
void verdict_explain(const struct health_script *script, const struct health_step *step,
	const struct health_input *input, bool matched, const char *info,
	struct health_verdict *verdict);

#endif
