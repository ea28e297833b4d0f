/*
 * Configurations of HAProxy and nginx, and texts whose addresses are replaced. The first byte says which of them the rest is.
 */
#include "fuzz.h"
#include "hoststate/foreign_files.h"
#include "report/redact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct service service = {0};
	char *text, *made = NULL;

	if (size == 0)
		return 0;
	text = fuzz_text(data + 1, size - 1);
	switch (data[0] & 3) {
	case 0:
		service_parse_haproxy(&service, text, "haproxy.cfg", &made);
		break;
	case 1:
		service_parse_nginx(&service, text, "nginx.conf", &made);
		break;
	default:
		made = redact_addresses(text);
		break;
	}
	free(made);
	free(text);
	service_free(&service);
	return 0;
}
