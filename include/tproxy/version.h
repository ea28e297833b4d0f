/* The version, as programs print it and the log says it. */
#ifndef TPROXY_VERSION_H
#define TPROXY_VERSION_H

#define TPROXYD_VERSION "0.1.0"

#endif
