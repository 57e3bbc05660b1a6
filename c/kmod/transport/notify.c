// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/ratelimit.h>
#include <linux/reboot.h>

#include "transport.h"

/* ---- panic, reboot: no echo any more (R-c) -------------------------------------------- */

static int falls_silent(struct notifier_block *block, unsigned long event, void *data)
{
	tmem_shim_silence(tmem_transport.shim);
	pr_notice(
		"tmem: no more echoes to the host: it takes this guest out of its shared pools\n");
	return NOTIFY_DONE;
}

static struct notifier_block on_panic = {.notifier_call = falls_silent};
static struct notifier_block on_reboot = {.notifier_call = falls_silent};

int tmem_notify_register(void)
{
	int code = atomic_notifier_chain_register(&panic_notifier_list, &on_panic);

	if (code)
		return code;
	code = register_reboot_notifier(&on_reboot);
	if (code)
		atomic_notifier_chain_unregister(&panic_notifier_list, &on_panic);
	return code;
}

void tmem_notify_unregister(void)
{
	unregister_reboot_notifier(&on_reboot);
	atomic_notifier_chain_unregister(&panic_notifier_list, &on_panic);
}

/* ---- what the shim tells -------------------------------------------------------------- */

void tmem_notify_event(void *context, int event, int64_t code)
{
	/* the host may make any of these happen as often as it likes */
	static DEFINE_RATELIMIT_STATE(limit, 5 * HZ, 10);

	if (event == TMEM_SHIM_STARTED || event == TMEM_SHIM_RESUMED)
		WRITE_ONCE(tmem_transport.running, true);
	else if (event == TMEM_SHIM_BROKEN)
		WRITE_ONCE(tmem_transport.running, false);
	if (!__ratelimit(&limit))
		return;
	switch (event) {
	case TMEM_SHIM_STARTED:
		pr_info("tmem: a session with the host, epoch %lld\n", code);
		break;
	case TMEM_SHIM_RESUMED:
		pr_info("tmem: the session goes on, %lld operations were sent again\n", code);
		break;
	case TMEM_SHIM_BROKEN:
		pr_info("tmem: the channel broke (%lld)\n", code);
		break;
	case TMEM_SHIM_REFUSED:
		pr_notice("tmem: the host refuses a session (%lld)\n", code);
		break;
	case TMEM_SHIM_GAVE_UP:
		pr_notice("tmem: the host did not answer a flush of a shared pool; the session is "
			  "over\n");
		break;
	case TMEM_SHIM_EXPELLED:
		pr_notice("tmem: expelled from the shared pools; their mounts stay out until "
			  "mounted again\n");
		break;
	case TMEM_SHIM_LOST:
		pr_err("tmem: the host has lost this guest's swap pages\n");
		break;
	case TMEM_SHIM_LOAD_WAITS:
		pr_notice("tmem: a process waits for its swap page: there is no session with the "
			  "host\n");
		break;
	case TMEM_SHIM_BAD_MESSAGE:
		pr_notice("tmem: a message of the host made no sense (op %lld)\n", code);
		break;
	case TMEM_SHIM_DOWNGRADED:
		pr_notice("tmem: pool %lld is private: this guest may not share its uuid\n", code);
		break;
	default:
		break;
	}
}

/* F2: to return without the page would read a disk slot that was never written. */
int tmem_notify_lost(void *context, uint32_t pool, const struct tmem_oid *oid, uint64_t index)
{
	unsigned int type = oid->words[0] >> 4;
	u64 offset = index << 4 | (oid->words[0] & 15);

	if (tmem_transport_panics())
		panic("tmem: the host has lost the page in slot %llu of swap area %u\n", offset,
		      type);
	pr_err("tmem: the host has lost the page in slot %llu of swap area %u; who wanted it waits "
	       "for ever\n",
	       offset, type);
	return TMEM_SHIM_WAIT;
}
