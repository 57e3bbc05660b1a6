/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Failures that an operator reads: a negative errno and one sentence. */
#ifndef TMEM_ERROR_H
#define TMEM_ERROR_H

#include <stdarg.h>
#include <stdio.h>

#include "engine.h"

/* Fills @error in and returns @code. */
__attribute__((format(printf, 3, 4))) static inline int tmem_fail(struct tmem_error *error,
								  int code, const char *format, ...)
{
	va_list args;

	error->code = code;
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
	return code;
}

#endif
