/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules, properties and steps shared by the three models of the channel.
 *
 * A rule is a macro that is 1; -DRULE_X=0 takes that rule away and leaves all others in force. What
 * each rule says stands in docs/coherency.md; the letters are those that the tests of the code cite.
 *
 * A property is a name that appears in the text of the assertion that fails, so that whoever reads
 * "assertion violated ((v>=fl)||flush_is_final)" knows which promise was broken, not only that one was.
 *
 * A step is what leaves a trace in a counterexample: one line "STEP key=value ...", which tests/model/run
 * turns into one JSON object. Every step is one DO(name); a name that no search reaches is an error,
 * because a model in which nothing happens has no counterexamples either.
 */

/* Order, queueing, owing, exclusive gets, running ahead, summaries. */
#ifndef RULE_K
#define RULE_K 1		/* one client's operations take effect in the order of its hooks */
#endif
#ifndef RULE_L
#define RULE_L 1		/* a put that cannot be queued becomes a flush of the same handle */
#endif
#ifndef RULE_M
#define RULE_M 1		/* invalidate_inode and invalidate_fs on a shared pool wait for the host */
#endif
#ifndef RULE_N
#define RULE_N 1		/* a flush that finds no room is owed, not lost */
#endif
#ifndef RULE_D_PRIVATE
#define RULE_D_PRIVATE 1	/* a hit on a private ephemeral pool takes the page out */
#endif
#ifndef RULE_D_SHARED
#define RULE_D_SHARED 1		/* a hit on a shared pool leaves it there for the other sharers */
#endif
#ifndef RULE_S
#define RULE_S 1		/* put, flush and invalidate drop what landed ahead */
#endif
#ifndef RULE_S_WAY
#define RULE_S_WAY 1		/* ... and what is still on its way */
#endif
#ifndef RULE_T
#define RULE_T 1		/* "the host has it" is never trusted: a put is sent all the same */
#endif
#ifndef RULE_STAGED
#define RULE_STAGED 1		/* what was sent is kept, and sent again, until the host has answered */
#endif
#ifndef RULE_WAIT
#define RULE_WAIT 1		/* a broken channel ends every wait, except that of a frontswap load */
#endif

/* Persistent pages (frontswap). */
#ifndef RULE_O
#define RULE_O 1		/* a store succeeds only once the host has accepted the page */
#endif
#ifndef RULE_P
#define RULE_P 1		/* a load waits; it never fails for a page that was stored */
#endif
#ifndef RULE_TAGS
#define RULE_TAGS 1		/* R-e: no resume for a guest whose tags are behind the host's */
#endif
#ifndef RULE_CHAIN
#define RULE_CHAIN 1		/* ... or whose operation under the host's last tag is not the one applied */
#endif

/* The guest kernel's cures for ocfs2, and direct I/O on any file system. */
#ifndef RULE_S1
#define RULE_S1 1		/* EX->PR flushes the object in the pool */
#endif
#ifndef RULE_S2
#define RULE_S2 1		/* umount and unload: an orderly leave empties the pool for everyone */
#endif
#ifndef RULE_S3
#define RULE_S3 1		/* recovery of a dead node empties the pool before it frees its locks */
#endif
#ifndef RULE_S4
#define RULE_S4 1		/* a mount without cluster locks does not join the shared pool */
#endif
#ifndef RULE_S5
#define RULE_S5 1		/* a direct write takes EX again after it is done, and flushes */
#endif
#ifndef RULE_S5_CACHE
#define RULE_S5_CACHE 1		/* ... and drops the page cache once more */
#endif
#ifndef RULE_F10
#define RULE_F10 1		/* who skips needless flushes counts a put made while a flush is under way */
#endif
#ifndef RULE_LEAVE
#define RULE_LEAVE 1		/* no lock goes while a leave is under way */
#endif
#ifndef RULE_F9
#define RULE_F9 1		/* direct I/O invalidates even when the page cache holds no page */
#endif

/* Losing a sharer: the lease. */
#ifndef RULE_R1
#define RULE_R1 1		/* leaving a shared pool, in order or not, empties it */
#endif
#ifndef RULE_LEASE
#define RULE_LEASE 1		/* served only while every sharer's newest echo is young */
#endif
#ifndef RULE_STICKY
#define RULE_STICKY 1		/* R-a: a lapse of T_EXPEL ends the session for good */
#endif
#ifndef RULE_AGE
#define RULE_AGE 1		/* a mount that was away for T_EXPEL stays out, whatever the host remembers */
#endif
#ifndef RULE_ECHO_ORDER
#define RULE_ECHO_ORDER 1	/* R-b: an echo never overtakes an issued operation */
#endif
#ifndef RULE_GIVEUP_ENDS
#define RULE_GIVEUP_ENDS 1	/* R-b: who gave up echoes and resumes no more */
#endif
#ifndef RULE_REPLAY
#define RULE_REPLAY 1		/* R-b: a resume replays shared puts as flushes */
#endif
#ifndef RULE_TASK_ECHO
#define RULE_TASK_ECHO 1	/* R-c: only a task echoes, so a panicked guest falls silent */
#endif
#ifndef RULE_CHECK_FIRST
#define RULE_CHECK_FIRST 1	/* R-d: the lease is looked at before the page is */
#endif
#ifndef RULE_INSTANCE
#define RULE_INSTANCE 1		/* R-d: a token is good for the service instance and session that gave it */
#endif
#ifndef RULE_DURABLE
#define RULE_DURABLE 1		/* R-d: who shares a pool is written down before the first put */
#endif

/* Lazy pools. */
#ifndef RULE_IDS
#define RULE_IDS 1		/* an id is never used again */
#endif
#ifndef RULE_ONE_MAKER
#define RULE_ONE_MAKER 1	/* one caller at a time makes the pool of an id */
#endif
#ifndef RULE_RECHECK
#define RULE_RECHECK 1		/* a pool that arrives for a dead id or a gone backend is destroyed */
#endif
#ifndef RULE_F8
#define RULE_F8 1		/* init_fs on a mount that has its id changes nothing */
#endif
#ifndef RULE_NEW_POOLS
#define RULE_NEW_POOLS 1	/* registering again makes new pools */
#endif
#ifndef RULE_F1
#define RULE_F1 1		/* detach is refused while frontswap holds pages, and stores fail meanwhile */
#endif
#ifndef RULE_BUSY
#define RULE_BUSY 1		/* a second backend is refused */
#endif
#ifndef RULE_GRACE
#define RULE_GRACE 1		/* a pool is destroyed only after the calls that may still use it */
#endif

/* Never true: each is there for its name. */
bool no_old_read, flush_is_final, put_put_get, failed_put_leaves_nothing, hit_is_exclusive,
     shared_hit_stays, stored_page_is_right, load_never_fails, every_wait_ends, one_pool_per_mount,
     no_pool_for_dead_mount, no_foreign_page, one_backend,
     no_call_after_unload;

#define PROP(name, e)	assert((e) || name)

/* d_step, because nobody else may look into the middle of a step; the name is for the reach report. */
#define DO(name)	d_step
