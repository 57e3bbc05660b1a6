/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's side of coherency.pml: its state, and the decisions of the shim one by one. A file of its own
 * because this half is what the shim's code must do, and the other half is what happens to it.
 */
#define NL 0
#define PR 1
#define EX 2
#define ABSENT 0
#define CLEAN 1
#define DIRTY 2

/* What the task or the lock thread of a guest is waiting for. */
#define IDLE 0
#define READING 1		/* get sent, page locked */
#define TO_PR 2			/* converting down, waiting for the flush */
#define TO_NL 3
#define RECOVERING 4		/* the other node is dead; emptying the pool */
#define LEAVING 5		/* invalidate_fs sent */
#define LEFT 6			/* umounting: the mount has no pool any more, kill_sb is to come */
#define CYCLING 7		/* direct write done, EX taken again, waiting for the flush */
#define GONE 8			/* umounted, or dead */

/* Which pool a mount uses: 0 is the shared one. A local mount takes no locks, so it gets one of its own. */
#ifdef LOCAL
#define UNLOCKED(g) ((g) == 1)
#define POOL(g) ((RULE_S4 && (g) == 1) -> 1 : 0)
#else
#define UNLOCKED(g) false
#define POOL(g) 0
#endif
#ifdef SHARED
#define WAITS (RULE_M)
#define MAY_PR(g) (UNLOCKED(g) || lk[g] != NL || lk[1 - (g)] != EX)
#define MAY_EX(g) (lk[g] == EX || lk[1 - (g)] == NL)
#else
#define MAY_PR(g) true
#define MAY_EX(g) true
#endif
#ifdef SKIP
#define NEEDLESS(g) (!own[g])
#else
#define NEEDLESS(g) false
#endif
#ifdef RUN_AHEAD
byte aheads[NG];		/* gets sent ahead; a budget, so that every run ends */
#endif
#ifndef DIO
#define dio 0
#else
byte dio;			/* guest 0's direct write: 1 under way, 2 on disk, 3 wants EX again */
byte dio_ver;
#endif

byte pool[2];			/* host: version held, 0 for none */
byte disk = 1, next = 2;
byte lk[NG], pc[NG], pv[NG], st[NG], reads[NG], landing[NG];
bool owed[NG], out[NG];		/* out: this mount has no pool (never had, left, unloaded) */
bool own[NG];			/* a put since the last acknowledged flush */
bool seen[NG];			/* only without T: some reply said that the host has the page */
byte newest;			/* scratch, 0 between steps */

/* Ghosts: what the properties compare with. */
byte cur = 1;			/* newest completed write */
byte floor[NG] = 1;		/* oldest version that a read by this guest may return */
byte flushed;			/* newest version that was complete when a flush returned */
byte put_ver[NG];		/* version of this guest's newest put */
bool put_failed[NG];		/* it could not be queued */
byte must[NG];			/* private pool: the only version that a hit may return; 0: it must miss */
byte why[NG];			/* ... because: 1 flushed, 2 taken by a hit, 3 a put failed */

inline landed_drop(g)
{
#if RULE_S
	landing[g] = 0;
#endif
#if RULE_S_WAY
	turn(g, AHEAD, VOID)
#endif
}

/* The newest put or flush that waits in the guest decides before anybody asks the host. */
inline lookup(g)
{
	newest = 0;
	i = 0;
	do
	:: i < n[g] ->
		if
		:: op[E(g, i)] == PUT -> newest = ver[E(g, i)]
		:: op[E(g, i)] == FLUSH || op[E(g, i)] == WFLUSH || op[E(g, i)] == LEAVE -> newest = 255
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0
}

inline put_noted(g, v, failed)
{
	put_ver[g] = v;
	put_failed[g] = failed;
	must[g] = (failed -> 0 : v);
	why[g] = 3;
	own[g] = 1
}

inline shim_flush(g, reason)
{
	landed_drop(g);
	if
	:: out[g] -> skip
	:: !out[g] && !owed[g] && !FULL(g) -> append_flush(g)
	:: else ->
		owed[g] = RULE_N || owed[g];
		/* What is staged answers no get any more, even where the flush itself is lost. */
		if
		:: !RULE_N -> turn(g, PUT, OLDPUT)
		:: else
		fi
	fi;
	must[g] = 0;
	why[g] = reason
}

inline shim_put(g, v)
{
	landed_drop(g);
	if
	:: out[g] -> skip
	:: !out[g] && owed[g] -> put_noted(g, v, 1)
	:: !out[g] && !owed[g] && !RULE_T && seen[g] -> put_noted(g, v, 0)
	:: !out[g] && !owed[g] && (RULE_T || !seen[g]) && conn[g] == UP && !FULL(g) ->
		append(g, PUT, v);
		put_noted(g, v, 0)
	:: else ->
		if
		:: RULE_L && !FULL(g) -> append_flush(g)
		:: RULE_L && FULL(g) -> owed[g] = 1
		:: !RULE_L -> turn(g, PUT, OLDPUT)
		:: else
		fi;
		put_noted(g, v, 1)
	fi
}

inline read_done(g, v)
{
	pc[g] = CLEAN;
	pv[g] = v;
	st[g] = IDLE;
	PROP(no_old_read, v >= floor[g])
}

inline missed(g)
{
	printf("STEP who=guest%d op=read from=disk version=%d\n", g, disk);
	read_done(g, disk)
}

inline hit(g, v, origin)
{
	printf("STEP who=guest%d op=read from=%e version=%d\n", g, origin, v);
#ifdef SHARED
	if
	:: UNLOCKED(g) -> skip
	:: else ->
#ifndef DIO	/* while a direct write is under way, either content is right */
		PROP(failed_put_leaves_nothing, !(put_failed[g] && v < put_ver[g]));
		PROP(put_put_get, v >= put_ver[g]);
#endif
		PROP(flush_is_final, v >= flushed || v >= floor[g])
	fi;
#else
	PROP(hit_is_exclusive, !(must[g] == 0 && why[g] == 2));
	PROP(failed_put_leaves_nothing, !(must[g] == 0 && why[g] == 3));
	PROP(flush_is_final, must[g] != 0);
	PROP(put_put_get, v == must[g]);
	must[g] = 0;
	why[g] = 2;
#endif
	read_done(g, v)
}

/* What a wait was for, once the host has answered (or at once, where nothing is waited for). */
inline waited(g)
{
	if
	:: !out[g] ->
		flushed = (floor[g] > flushed -> floor[g] : flushed);
		own[g] = (RULE_F10 -> own[g] : 0)
	:: else
	fi;
	if
	:: st[g] == TO_PR -> lk[g] = PR; printf("STEP who=lock%d op=downconvert mode=PR\n", g)
	:: st[g] == TO_NL -> lk[g] = NL; printf("STEP who=lock%d op=downconvert mode=NL\n", g)
	:: st[g] == RECOVERING -> lk[1 - g] = NL; printf("STEP who=lock%d op=recovered\n", 1 - g)
#ifdef DIO
	:: st[g] == CYCLING -> dio_done(g); floor[1] = cur; flushed = cur
#endif
	:: else
	fi;
	st[g] = IDLE
}

/* invalidate_inode on a shared pool. Callers made sure of room: waiting for it looks like not having begun. */
inline invalidate_inode(g, state)
{
	st[g] = state;
	landed_drop(g);
	if
	:: out[g] || (NEEDLESS(g) && state != RECOVERING) -> waited(g)
	:: else ->
		printf("STEP who=guest%d op=flush object=0 wait=%d\n", g, RULE_M);
		if
		:: RULE_M -> append(g, WFLUSH, 0); owed[g] = 0; own[g] = 0
		:: else -> shim_flush(g, 1); waited(g)
		fi
	fi
}

inline writeback(g)
{
	if
	:: pc[g] == DIRTY ->
		disk = pv[g];
		pc[g] = CLEAN;
		printf("STEP who=guest%d op=writeback version=%d\n", g, disk)
	:: else
	fi
}

inline page_gone(g) { pc[g] = ABSENT; pv[g] = 0 }

#ifdef DIO
inline dio_done(g)
{
	cur = dio_ver;
	floor[g] = cur;
	dio = 0;
	dio_ver = 0;
	printf("STEP who=guest%d op=direct_write_returns version=%d\n", g, cur)
}

/* Generic code drops the cached page before and after the write; without F9 only if there is one. */
inline dio_invalidate(g)
{
	if
	:: pc[g] != ABSENT || RULE_F9 ->
		printf("STEP who=guest%d op=flush index=0\n", g);
		shim_flush(g, 1)
	:: else
	fi;
	page_gone(g)
}
#endif

/* mtype only so that the trace can name where a hit came from */
mtype = { host, staging, landed };

