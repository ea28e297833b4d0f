/*
 * One table of errors and advice, so that the same error always has the same advice.
 */
#include "advice.h"

#include <errno.h>

const char *advice_on_errno(int error)
{
	switch (error) {
	case EMFILE:
		return "; raise the descriptor limit (ulimit -n, LimitNOFILE=), or lower maxconn or nbthread";
	case ENFILE:
		return "; raise the host's limit (sysctl fs.file-max), or lower maxconn";
	case ELOOP:
		return "; it is a symbolic link: write the path that it leads to";
	case ENXIO:
		return "; no process reads this FIFO: start its reader first";
	default:
		return "";
	}
}
