/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What follows in a turn's bytes, told to the engine before it is served (hint.h). */
#ifndef TMEM_LOOKAHEAD_H
#define TMEM_LOOKAHEAD_H

#include "hint.h"
#include "wire.h"

enum { TMEM_LOOKAHEAD_HINTS = 8 };

struct tmem_lookahead {
	struct tmem_hint hints[TMEM_LOOKAHEAD_HINTS];
	uint32_t seen; /* messages of the turn that were looked at */
	size_t at;     /* where the next one would begin */
};

/*
 * @served messages of the turn have been served, which used @used of the @in_bytes at
 * @untrusted_in. Looks at headers without checking them: what does not turn out to be a request was
 * a wrong guess.
 */
void tmem_look_ahead(struct tmem_lookahead *lookahead, struct tmem_client *client,
		     const uint8_t *untrusted_in, size_t in_bytes, size_t used, uint32_t served);

#endif
