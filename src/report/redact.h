/*
 * Replaces public addresses in a text by others, so that it can be shown to strangers.
 */
#ifndef REPORT_REDACT_H
#define REPORT_REDACT_H

/*
 * TEXT with each public address replaced by one of the documentation's ranges (RFC 5737, RFC 3849), or of the range for
 * benchmarks (RFC 2544) where those are used up. The same address gets the same one everywhere; addresses of one IPv4 /24, or one
 * IPv6 /64, stay together. Addresses that everybody uses (private, link-local, loopback, multicast, the documentation's) stay.
 * To be freed.
 */
char *redact_addresses(const char *text);

#endif
