/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent pages: a page that the host has accepted comes back as it was, or is waited for.
 *
 * In: one swap slot of one guest in a private persistent pool; store, load and invalidate as frontswap
 * calls them; the FIFO channel (channel.h) with a short queue; a host that refuses a store for lack of
 * room; a channel that breaks at any moment, also with an answer under way; a service that is killed and
 * restarted with its arena; resume, new epoch, the end of the channel; a guest that is put back to an
 * earlier snapshot while the host is not.
 *
 * Out, and why that loses nothing:
 * - A second slot: slots meet only in the queue, and the queue may be full at any time (busy).
 * - The swap disk: it holds what a refused store wrote, and is read only where frontswap has no bit set;
 *   so "the load failed" is as bad as it gets, and is a property of its own.
 * - Contents are version numbers, one for each store.
 */
#include "rules.h"

#ifndef QL
#define QL 2
#endif
#ifndef STORES
#define STORES 3
#endif
#ifndef LOADS
#define LOADS 2
#endif
#ifndef BREAKS
#define BREAKS 2
#endif
#ifndef OTHERS
#define OTHERS 2
#endif
#define NG 1
#include "channel.h"

#define IDLE 0
#define STORING 1
#define LOADING 2
#define PANICKED 3		/* the host says that the page is gone, or must not be trusted */

byte slot;			/* host: version held, 0 for none */
byte held;			/* ghost: version that the slot must return; 0 while frontswap has no bit for it */
byte next = 1, loads, others, st;
bool owed;
byte want;			/* version that the store under way carries */
byte got;			/* scratch, 0 between steps */

/* Tags: how many operations were issued, and the last that the host has applied. */
byte tag, host_tag, first;	/* first: tag before the oldest entry of op[] */
byte snap_held, snap_tag;
bool snapped, reverted;

/*
 * Counting tags does not tell a guest that was put back from one that was not: it may have issued new
 * operations since. So the host compares what it applied last with what the guest says it sent under that tag.
 */
#define FOREIGN (RULE_TAGS && (first + n[0] < host_tag || (RULE_CHAIN && reverted && host_tag > snap_tag)))

inline issue(o, v) { append(0, o, v); tag++ }

inline flush_slot()
{
	if
	:: !owed && !FULL(0) -> tag++; append_flush(0)
	:: else -> owed = 1
	fi;
	held = 0
}

inline stored()
{
	st = IDLE;
	held = want;
	want = 0;
	printf("STEP who=guest0 op=stored version=%d\n", held)
}

inline refused() { st = IDLE; want = 0; printf("STEP who=guest0 op=store_failed\n") }

proctype guest()
{
end:	do
	/* frontswap invalidates the slot before it stores over it, whatever comes of the store. */
	:: atomic { st == IDLE && next <= STORES ->
		d_step {
			printf("STEP who=guest0 op=store version=%d\n", next);
			want = next;
			next++;
			if
			:: held != 0 -> flush_slot()
			:: else
			fi
		}
		if
		:: !owed && !FULL(0) && conn[0] == UP ->
			DO(store_sent) {
				issue(PUT, want);
				st = STORING;
				if
				:: !RULE_O -> stored()
				:: else
				fi
			}
		:: DO(store_refused) { refused() }
		fi }
	:: atomic { RULE_WAIT && st == STORING && conn[0] != UP -> DO(store_given_up) { turn(0, PUT, OLDPUT); refused() } }
	:: atomic { st == IDLE && held != 0 && loads < LOADS && !owed && !FULL(0) ->
		DO(load) {
			loads++;
			issue(GET, 0);
			st = LOADING;
			printf("STEP who=guest0 op=load\n")
		} }
	:: atomic { st == LOADING && conn[0] != UP && !RULE_P ->
		DO(mutant_load_failed) {
			st = IDLE;
			turn(0, GET, NOP);
			printf("STEP who=guest0 op=load_failed\n");
			PROP(load_never_fails, held == 0)
		} }
	:: atomic { st == IDLE && held != 0 ->
		DO(invalidated) { printf("STEP who=guest0 op=flush index=0\n"); flush_slot() } }
	:: atomic { owed && conn[0] == UP && !FULL(0) ->
		DO(owed_paid) { owed = 0; issue(FLUSH, 0); printf("STEP who=channel0 op=pay_owed\n") } }

	/* Another slot's operation, which takes room and changes nothing here. */
	:: atomic { others < OTHERS && !FULL(0) ->
		DO(other_slot) { others++; issue(NOP, 0); printf("STEP who=guest0 op=other_slot\n") } }

	/* --- answers */
	:: atomic { ap[0] > 0 && conn[0] == UP && op[0] == GET ->
		DO(loaded) {
			got = ver[0];
			pop(0);
			first++;
			st = IDLE;
			printf("STEP who=guest0 op=loaded version=%d\n", got);
			PROP(load_never_fails, got != 0);
			PROP(stored_page_is_right, got == held);
			got = 0
		} }
	:: atomic { ap[0] > 0 && conn[0] == UP && op[0] != GET ->
		DO(answered) {
			printf("STEP who=channel0 op=answer what=%e\n", op[0]);
			if
			:: op[0] == PUT && st == STORING ->
				if
				:: ver[0] != 0 -> stored()
				:: else -> refused()
				fi
			:: else
			fi;
			pop(0);
			first++
		} }

	/* --- a snapshot of the guest alone, taken and gone back to */
#ifdef REVERT
	:: atomic { st == IDLE && n[0] == 0 && !owed && !snapped && conn[0] == UP ->
		DO(snapshot) {
			snapped = 1;
			snap_held = held;
			snap_tag = tag;
			printf("STEP who=guest0 op=snapshot\n")
		} }
	:: atomic { snapped && !reverted && st != PANICKED ->
		DO(revert) {
			reverted = 1;
			held = snap_held;
			tag = snap_tag;
			first = snap_tag;
			drop_all(0);
			owed = 0;
			st = IDLE;
			want = 0;
			conn[0] = DOWN;
			printf("STEP who=guest0 op=revert\n")
		} }
#endif
	od
}

proctype worker()
{
end:	do
	/* Data, then the commit mark, then the answer: a kill in between leaves the old state or the new. */
	:: atomic { ap[0] < n[0] && conn[0] == UP ->
		if
		:: DO(applied) {
			if
			:: op[E(0, ap[0])] == PUT || op[E(0, ap[0])] == OLDPUT -> slot = ver[E(0, ap[0])]
			:: op[E(0, ap[0])] == FLUSH -> slot = 0
			:: op[E(0, ap[0])] == GET -> ver[E(0, ap[0])] = slot
			:: else
			fi;
			printf("STEP who=host0 op=apply what=%e version=%d\n", op[E(0, ap[0])], ver[E(0, ap[0])]);
			ap[0]++;
			host_tag = (first + ap[0] > host_tag -> first + ap[0] : host_tag)
		   }
		:: op[E(0, ap[0])] == PUT || op[E(0, ap[0])] == OLDPUT ->
			DO(refused) {
				/* Whatever the reason, no older copy stays. */
				slot = 0;
				ver[E(0, ap[0])] = 0;
				ap[0]++;
				host_tag = (first + ap[0] > host_tag -> first + ap[0] : host_tag);
				printf("STEP who=host0 op=refuse what=PUT\n")
			}
		fi }
	od
}

proctype fate()
{
	byte breaks;

	do
	:: atomic { conn[0] == UP && breaks < BREAKS ->
		DO(broken) {
			breaks++;
			conn[0] = DOWN;
			if
			:: !RULE_STAGED -> first = tag; drop_all(0)
			:: else
			fi;
			printf("STEP who=channel0 op=break\n")
		} }
	:: atomic { conn[0] == DOWN && !FOREIGN ->
		if
		:: DO(resumed) { conn[0] = UP; printf("STEP who=channel0 op=resume replay=unapplied\n") }
		:: DO(restarted) {
			conn[0] = UP;
			ap[0] = 0;
			printf("STEP who=host0 op=kill\nSTEP who=host0 op=restart\nSTEP who=channel0 op=resume replay=all\n")
		   }
		fi }
	/* A guest whose past is not the host's gets nothing any more: the host cannot tell which page it means. */
	:: atomic { conn[0] == DOWN && FOREIGN ->
		DO(resume_refused) {
			st = PANICKED;
			conn[0] = ENDED;
			printf("STEP who=channel0 op=resume_refused\n")
		} }
	:: atomic { conn[0] == DOWN -> DO(ended) { conn[0] = ENDED; printf("STEP who=channel0 op=end\n") } }
	/* A load alone may outlive the channel: it has nowhere else to read from. */
	:: atomic { timeout ->
		PROP(every_wait_ends, st == IDLE || st == PANICKED || (st == LOADING && conn[0] == ENDED));
		PROP(every_wait_ends, conn[0] == ENDED || (n[0] == 0 && !owed));
		break }
	od
}

init { atomic { run worker(); run guest(); run fate() } }
