// SPDX-License-Identifier: GPL-2.0-or-later
#include "hooks_user.h"

#include "hooks_table.h"

struct tmem_hooks *tmem_hooks_new(void)
{
	struct tmem_hooks *hooks = calloc(1, sizeof(*hooks));

	if (hooks && tmem_hooks_setup(hooks)) {
		free(hooks);
		return NULL;
	}
	return hooks;
}

void tmem_hooks_free(struct tmem_hooks *hooks)
{
	tmem_hooks_teardown(hooks);
	free(hooks);
}
