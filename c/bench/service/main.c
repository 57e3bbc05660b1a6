/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bench_service: the program of `tmem bench service`, and two of the servers that it starts. */
#include <stdlib.h>
#include <string.h>

#include "program.h"
#include "service.h"

static const struct bench_group groups[] = {
	{"incompressible", service_incompressible},
	{"real", service_real},
	{"trips", service_trips},
};

static uint32_t count_of(const char *text)
{
	return (uint32_t)strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "serve-raw") == 0)
		service_serve_raw(argv[2], count_of(argv[3]));
	if (argc == 6 && strcmp(argv[1], "serve-tmem") == 0)
		service_serve_tmem(argv[2], argv[3], count_of(argv[4]), argv[5]);
	return bench_main(argc, argv, groups, sizeof(groups) / sizeof(*groups));
}
