/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Coherency of ephemeral pools: does any get return data that it must not return?
 *
 * In: guests with a page cache, staging, an owed flush, a landing buffer and a free miss; a FIFO channel
 * for each (channel.h) which the host serves when it pleases; the host's shared and private pools, which
 * may lose a page at any moment; the cluster lock NL/PR/EX with ocfs2's downconverts; a disk; direct I/O;
 * umount, unload and later load; a node that dies holding EX; a mount without cluster locks; for private
 * pools a channel that breaks, a service that is killed, resume and new epochs.
 *
 * Out, and why that loses nothing:
 * - One page of one file. The rules speak of one handle, or of one object that is flushed whole; two
 *   handles meet only in the queue, and a queue filled by another handle's operations looks like one
 *   filled by this handle's, which is in.
 * - Contents are version numbers: version v is what the v-th write left.
 * - The negative summary may say "not there" at any time (get_skipped), which covers every summary.
 * - Reading ahead is started by a get of the page before; that get is left out, only the part that
 *   concerns this page is in.
 * - The cluster converts a lock down whenever no task holds it, asked or not. That allows more than a
 *   lock manager does.
 * - Shared pools over a broken channel are the lease's business: lease.pml.
 */
#include "rules.h"

#ifndef QL
#define QL 2			/* entries between guest and host */
#endif
#ifndef TOP
#define TOP 3			/* newest version that is ever written; the disk starts with 1 */
#endif
#ifndef READS
#define READS 2			/* reads by each guest that miss its page cache */
#endif
#ifdef SHARED
#define NG 2
#else
#define NG 1
#endif
#include "channel.h"

#include "shim.h"

proctype guest(byte g)
{
end:	do
	/* --- the reading task: page lock and PR are held from here to the end of the read */
	:: atomic {
		st[g] == IDLE && pc[g] == ABSENT && reads[g] < READS && MAY_PR(g) ->
		d_step {
			reads[g]++;
			if
			:: lk[g] == NL && !UNLOCKED(g) && NG == 2 ->
				lk[g] = PR;
				printf("STEP who=lock%d op=grant mode=PR\n", g)
			:: else
			fi;
			lookup(g)
		}
		if
		:: DO(get_skipped) { newest = 0; missed(g) }
		:: !out[g] && !owed[g] && newest != 0 && newest != 255 ->
			DO(hit_staged) {
				printf("STEP who=guest%d op=get\n", g);
				hit(g, newest, staging);
				newest = 0;
				if
				:: NG == 1 -> shim_flush(g, 2)	/* what is staged is taken out by a flush behind it */
				:: else
				fi
			}
		:: !out[g] && !owed[g] && newest == 0 && landing[g] != 0 ->
			DO(hit_landed) {
				hit(g, landing[g], landed);
				landing[g] = 0
			}
		:: !out[g] && !owed[g] && newest == 0 && landing[g] == 0 && conn[g] == UP && !FULL(g) ->
			DO(get_sent) {
				printf("STEP who=guest%d op=get\n", g);
				append(g, GET, 0);
				st[g] = READING
			}
		fi
	   }
	:: atomic { ap[g] > 0 && conn[g] == UP && op[E(g, 0)] == GET && ver[E(g, 0)] != 0 ->
		DO(hit_host) {
			newest = ver[E(g, 0)];
			seen[g] = !RULE_T;
			pop(g);
			hit(g, newest, host);
			newest = 0
		} }
	:: atomic { ap[g] > 0 && conn[g] == UP && op[E(g, 0)] == GET && ver[E(g, 0)] == 0 ->
		DO(miss_host) { pop(g); missed(g) } }
	:: atomic { RULE_WAIT && st[g] == READING && conn[g] != UP ->
		DO(get_given_up) { turn(g, GET, NOP); missed(g) } }
	/* A cached read changes nothing, so it is a step only where it is wrong. */
	:: atomic { st[g] == IDLE && pc[g] != ABSENT && (lk[g] != NL || NG == 1) && !UNLOCKED(g) && pv[g] < floor[g] ->
		d_step {
			printf("STEP who=guest%d op=read from=cache version=%d\n", g, pv[g]);
			PROP(no_old_read, pv[g] >= floor[g])
		} }

	/* --- the writing task: a whole page is overwritten, so there is no get before it */
	:: atomic { (st[g] == IDLE || st[g] == LEAVING) && dio == 0 && next <= TOP && MAY_EX(g) && !UNLOCKED(g) ->
		DO(write) {
			if
			:: NG == 2 && lk[g] != EX -> lk[g] = EX; printf("STEP who=lock%d op=grant mode=EX\n", g)
			:: else
			fi;
			pc[g] = DIRTY;
			pv[g] = next;
			next++;
			cur = pv[g];
			floor[0] = cur;
#ifdef SHARED
			floor[1] = (UNLOCKED(1) -> 0 : cur);
#endif
			printf("STEP who=guest%d op=write version=%d\n", g, cur)
		} }
	:: atomic { pc[g] == DIRTY && st[g] != READING && st[g] != LEFT -> DO(writeback) { writeback(g) } }

	/* --- reclaim: a page that was read is put, one that was only written is invalidated */
	:: atomic { pc[g] == CLEAN && st[g] != READING && st[g] != GONE ->
		if
		:: DO(put) {
			printf("STEP who=guest%d op=put version=%d\n", g, pv[g]);
			shim_put(g, pv[g]);
			page_gone(g)
		   }
		:: DO(flush_page) {
			printf("STEP who=guest%d op=flush index=0\n", g);
			shim_flush(g, 1);
			page_gone(g)
		   }
		fi }

	/* --- the shim's own work */
	:: atomic { owed[g] && conn[g] == UP && !FULL(g) ->
		DO(owed_paid) {
			owed[g] = 0;
			append(g, FLUSH, 0);
			printf("STEP who=channel%d op=pay_owed\n", g)
		} }
	:: atomic { ap[g] > 0 && conn[g] == UP && (op[E(g, 0)] == PUT || op[E(g, 0)] == OLDPUT || op[E(g, 0)] == FLUSH || op[E(g, 0)] == NOP || op[E(g, 0)] == VOID) ->
		DO(answered) {
			seen[g] = !RULE_T && (op[E(g, 0)] == PUT || (seen[g] && op[E(g, 0)] != FLUSH));
			printf("STEP who=channel%d op=answer what=%e\n", g, op[E(g, 0)]);
			pop(g)
		} }
#ifdef RUN_AHEAD
	/* The get of the page before holds PR, reads and asks for this page too. */
	:: atomic { st[g] == IDLE && pc[g] == ABSENT && !out[g] && !owed[g] && conn[g] == UP && landing[g] == 0 &&
		    (lk[g] != NL || NG == 1) && aheads[g] < READS &&
		    (n[g] == 0 || (n[g] == 1 && (op[E(g, 0)] == VOID || op[E(g, 0)] == NOP))) ->
		DO(ahead_sent) {
			append(g, AHEAD, 0);
			aheads[g]++;
			printf("STEP who=guest%d op=get_ahead\n", g)
		} }
	:: atomic { ap[g] > 0 && conn[g] == UP && op[E(g, 0)] == AHEAD ->
		DO(ahead_landed) {
			landing[g] = ver[E(g, 0)];
			pop(g);
			printf("STEP who=channel%d op=answer what=AHEAD version=%d\n", g, landing[g])
		} }
#endif
#ifdef FORGET
	/* A front end that got the only copy by a hit may drop it, changed or not, and say nothing. */
	:: atomic { pc[g] == CLEAN && st[g] == IDLE && must[g] == 0 && why[g] == 2 ->
		DO(forgotten) { page_gone(g); printf("STEP who=guest%d op=forget\n", g) } }
#endif
#ifdef SHARED
	/* --- ocfs2_data_convert_worker: no task holds the lock, and none gets it before the worker is done */
	:: atomic { st[g] == IDLE && lk[g] == EX && (!FULL(g) || !RULE_M) ->
		DO(ex_to_pr) {
			writeback(g);
			if
			:: RULE_S1 -> invalidate_inode(g, TO_PR)
			:: else -> lk[g] = PR; printf("STEP who=lock%d op=downconvert mode=PR\n", g)
			fi
		} }
	:: atomic { st[g] == IDLE && lk[g] != NL && (!FULL(g) || !RULE_M) ->
		DO(to_nl) {
			writeback(g);
			page_gone(g);
			invalidate_inode(g, TO_NL)
		} }
	:: atomic { ap[g] > 0 && op[E(g, 0)] == WFLUSH ->
		DO(flush_answered) {
			pop(g);
			printf("STEP who=channel%d op=answer what=WFLUSH\n", g);
			waited(g)
		} }
#endif
#if !RULE_LEAVE
	:: atomic { st[g] == LEAVING && lk[g] != NL ->
		DO(mutant_to_nl_early) {
			writeback(g);
			page_gone(g);
			lk[g] = NL;
			printf("STEP who=lock%d op=downconvert mode=NL\n", g)
		} }
#endif
#ifdef UMOUNT
	/* invalidate_fs comes before kill_sb, so what kill_sb writes and drops finds no pool. */
	:: atomic { g == 0 && st[g] == IDLE && !out[g] && !FULL(g) ->
		DO(leave) {
			st[g] = LEAVING;
			landed_drop(g);
			owed[g] = 0;
			out[g] = 1;
			append(g, LEAVE, 0);
			printf("STEP who=guest%d op=leave\n", g)
		} }
	:: atomic { ap[g] > 0 && op[E(g, 0)] == LEAVE ->
		pop(g);
		d_step { landing[g] = 0; own[g] = 0; seen[g] = 0; flushed = cur }
		if
		:: DO(umounting) { st[g] = LEFT; printf("STEP who=channel%d op=answer what=LEAVE\n", g) }
		:: DO(unloaded) { st[g] = IDLE; printf("STEP who=channel%d op=answer what=LEAVE unloaded=1\n", g) }
		fi }
	:: atomic { st[g] == LEFT ->
		DO(umounted) {
			writeback(g);
			page_gone(g);
			lk[g] = NL;
			st[g] = GONE;
			printf("STEP who=guest%d op=umounted\n", g)
		} }
	/* A backend that is loaded again joins for a mount that lived on without one. */
	:: atomic { g == 0 && st[g] == IDLE && out[g] && reads[g] < READS ->
		DO(joined) { out[g] = 0; reads[g]++; printf("STEP who=guest%d op=join\n", g) } }
#endif
#ifdef CRASH
	/* Dead with nothing under way; what is under way is the lease's business. What was not written is lost. */
	:: atomic { g == 0 && st[g] == IDLE && lk[g] == EX && n[g] == 0 && !owed[g] ->
		DO(crashed) {
			page_gone(g);
			landing[g] = 0;
			st[g] = GONE;
			cur = disk;
			floor[0] = cur;
			floor[1] = cur;
			flushed = (flushed < cur -> flushed : cur);
			printf("STEP who=guest%d op=crash\n", g)
		} }
	:: atomic { g == 1 && st[0] == GONE && lk[0] != NL && st[g] == IDLE && !FULL(g) ->
		DO(recover) {
			if
			:: RULE_S3 -> invalidate_inode(g, RECOVERING)
			:: else -> lk[0] = NL; printf("STEP who=lock0 op=recovered\n")
			fi
		} }
#endif
#ifdef DIO
	/* EX is taken and dropped before the write: while it is under way readers elsewhere may hold PR. */
	:: atomic { g == 0 && st[g] == IDLE && dio == 0 && next <= TOP && MAY_EX(g) ->
		DO(direct_write) {
			lk[g] = (NG == 2 -> EX : NL);
			writeback(g);
			dio_invalidate(g);
			dio_ver = next;
			next++;
			dio = 1;
			printf("STEP who=guest%d op=direct_write version=%d\n", g, dio_ver)
		} }
	:: atomic { g == 0 && dio == 1 ->
		DO(direct_on_disk) { disk = dio_ver; dio = 2; printf("STEP who=guest%d op=direct_on_disk version=%d\n", g, disk) } }
	:: atomic { g == 0 && dio == 2 && st[g] != READING ->
		DO(direct_done) {
			dio_invalidate(g);
			if
			:: NG == 2 && RULE_S5 -> dio = 3
			:: else -> dio_done(g)
			fi
		} }
	:: atomic { g == 0 && dio == 3 && st[g] == IDLE && MAY_EX(g) && !FULL(g) ->
		DO(direct_cycled) {
			lk[g] = EX;
#if RULE_S5_CACHE
			page_gone(g);
#endif
			printf("STEP who=lock%d op=grant mode=EX\n", g);
			invalidate_inode(g, CYCLING)
		} }
#endif
	od
}

/* One worker of the host for each client; an operation on one handle is atomic under the engine's locks. */
proctype worker(byte g)
{
end:	do
	:: atomic { ap[g] < n[g] && conn[g] == UP ->
		DO(applied) {
			if
			:: op[E(g, ap[g])] == PUT || op[E(g, ap[g])] == OLDPUT -> pool[POOL(g)] = ver[E(g, ap[g])]
			:: op[E(g, ap[g])] == FLUSH || op[E(g, ap[g])] == WFLUSH -> pool[POOL(g)] = 0
			:: op[E(g, ap[g])] == LEAVE -> pool[POOL(g)] = (RULE_S2 -> 0 : pool[POOL(g)])
			:: op[E(g, ap[g])] == GET || op[E(g, ap[g])] == AHEAD ->
				ver[E(g, ap[g])] = pool[POOL(g)];
				if
				:: NG == 1 && RULE_D_PRIVATE -> pool[0] = 0
				:: NG == 2 && !RULE_D_SHARED -> pool[POOL(g)] = 0
				:: else
				fi;
				printf("STEP who=host%d op=apply what=%e version=%d\n", g, op[E(g, ap[g])], ver[E(g, ap[g])]);
				PROP(shared_hit_stays, NG == 1 || ver[E(g, ap[g])] == 0 || pool[POOL(g)] != 0)
			:: else
			fi;
			if
			:: op[E(g, ap[g])] != GET && op[E(g, ap[g])] != AHEAD ->
				printf("STEP who=host%d op=apply what=%e version=%d\n", g, op[E(g, ap[g])], ver[E(g, ap[g])])
			:: else
			fi;
			ap[g]++
		} }
	od
}

/* What nobody asked for. A put that the host refuses looks like one whose page vanishes at once. */
proctype fate()
{
#ifdef BREAK
	byte breaks;
#endif
	do
	:: atomic { pool[0] != 0 -> DO(vanished) { pool[0] = 0; printf("STEP who=host0 op=evict\n") } }
#ifdef BREAK
	:: atomic { conn[0] == UP && breaks < BREAK ->
		DO(broken) {
			breaks++;
			conn[0] = DOWN;
			turn(0, AHEAD, VOID);
			landing[0] = 0;
			/* What was under way is gone: the device completes what it throws away. */
			if
			:: !RULE_STAGED -> drop_all(0)
			:: else
			fi;
			printf("STEP who=channel0 op=break\n")
		} }
	:: atomic { conn[0] == DOWN && st[0] != READING ->
		if
		:: DO(resumed) { conn[0] = UP; printf("STEP who=channel0 op=resume replay=unapplied\n") }
		:: DO(restarted) {
			/* The arena lived, the tag of the last operation did not: all is applied once more. */
			conn[0] = UP;
			ap[0] = 0;
			printf("STEP who=host0 op=kill\nSTEP who=host0 op=restart\nSTEP who=channel0 op=resume replay=all\n")
		   }
		:: DO(new_epoch) {
			conn[0] = UP;
			drop_all(0);
			owed[0] = 0;
			pool[0] = 0;
			printf("STEP who=channel0 op=new_epoch\n")
		   }
		:: DO(ended) { conn[0] = ENDED; printf("STEP who=channel0 op=end\n") }
		fi }
#endif
	:: atomic { timeout ->
		PROP(every_wait_ends, st[0] == IDLE || st[0] == GONE);
		PROP(every_wait_ends, NG == 1 || st[NG - 1] == IDLE);
		PROP(every_wait_ends, conn[0] == ENDED || (n[0] == 0 && !owed[0]));
		break }
	od
}

init
{
	atomic {
		run worker(0);
		run guest(0);
#ifdef SHARED
		run worker(1);
		run guest(1);
#ifdef LOCAL
		floor[1] = 0;
#endif
#endif
		run fate()
	}
}
