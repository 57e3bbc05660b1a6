/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lease on a shared pool: what protects the others when one sharer no longer answers for itself.
 *
 * In: a discrete clock; guest 0, which may be paused, cut off from the cluster, panic, die, leave, lose
 * its channel or give up waiting; its queue of puts, flushes and echoes (channel.h); tokens and their age;
 * a service that is killed and restarted with its arena, ends sessions, expels; HELLO with resume or a new
 * epoch; the cluster, which declares a silent node dead and frees its locks; guest 1, the witness, which
 * reads, puts and writes whenever the cluster lets it.
 *
 * Out, and why that loses nothing:
 * - The witness's own queue and lease. It is never the one that fails, so its operations may be taken to
 *   happen at once; a flush of its own while the service is down ends its session, which is in (witness_lost).
 *   Two sharers failing at once is not covered.
 * - A paused host: nobody makes a host take its steps, and the clock does not wait for it.
 * - The cure S3. The lease has to be enough without it (where it is not, -DS3_TOO says so).
 * - Absolute time. Only ages matter; they stop counting at the largest limit they are compared with, so
 *   runs of any length are covered.
 *
 * - The tokens themselves. A guest that echoes is taken to hold one that is brand new, which keeps the lease
 *   alive for as long as any token could.
 *
 * One tick is T_LEASE unless -DT_LEASE says more. GIVEUP_MIN is T_giveup in ticks of the host: a guest waits 4 x T_LEASE of
 * its own clock, so GIVEUP_MIN == T_LEASE is a guest whose clock runs four times too fast.
 */
#include "rules.h"

#define NG 1
#ifndef QL
#define QL 2
#endif
#include "channel.h"

#ifndef T_LEASE
#define T_LEASE 1
#endif
#ifndef T_EXPEL
#define T_EXPEL 2
#endif
#ifndef GIVEUP_MIN
#define GIVEUP_MIN T_LEASE
#endif
#define GIVEUP_MAX (GIVEUP_MIN + 1)
#ifndef FENCE
#define FENCE 1			/* a node that hears nothing of the cluster kills itself */
#endif
#ifndef DEAD_AFTER
#define DEAD_AFTER 3		/* the others take a silent node for dead */
#endif
#ifndef TOP
#define TOP 2			/* newest version; 1 is on disk at first */
#endif
#ifndef FAILS
#define FAILS 2			/* failures in one run, of the kinds that are compiled in */
#endif

mtype = { ECHO };		/* ver[] is the age of its token */

#define NL 0
#define PR 1
#define EX 2

/* Guest 0. */
#define RUNS 0
#define PAUSED 1
#define PANICKED 2		/* no task runs, interrupts do */
#define DEAD 3
byte life, hb;			/* hb: ticks since the cluster last heard of it */
bool cut, declared;		/* declared: the cluster has taken it for dead and freed its locks */
byte lk, page;			/* what it believes to hold, and the version it has cached under that */
byte waiting, waited_for;	/* for an acknowledgement: issued, queued; and for how long */
#define ISSUED 1
#define QUEUED 2
bool leaving;			/* ... of a leave, not of a flush */
byte part;			/* its part in the shared pool: */
#define IN 0
#define OUT 1			/* session over; a new epoch may bring it back */
#define STAYS_OUT 2		/* until the next mount */
byte proof;			/* age of the newest token whose echo the host has confirmed to it */

/* Host. */
bool down, expelled;
bool witness_put, witness_lost;	/* the witness owes a flush before EX goes elsewhere; could not send one */
byte pool, echo_age, member;
#define NO_MEMBER 0
#define MEMBER 1
#define AWAITED 2		/* known from the arena, has not resumed yet */

/* Cluster and witness. */
byte cur = 1, flushed, fails, get, got;
#define CHECKED 1
#define READ 2

#define LOCKED (lk != NL && !declared)
#define HOLDS_EX (lk == EX && !declared)
#define SERVED (member == NO_MEMBER || (member == MEMBER && (echo_age < T_LEASE || !RULE_LEASE)))
#define TASKS (life == RUNS)
#define ECHOES (life == RUNS || (life == PANICKED && !RULE_TASK_ECHO))
#ifndef QUIET
#define QUIET 0			/* a node taken for dead puts nothing new */
#endif
/*
 * A node that is cut off kills itself by its own clock. Here that clock runs on while the guest is paused; with
 * -DSLOW_FENCE it stops with the guest, and each pause puts the fencing off.
 */
#ifdef SLOW_FENCE
#define FENCE_DUE (hb == FENCE)
#else
#define FENCE_DUE (hb >= FENCE)
#endif
#ifdef SPLIT_GET
#define GET_STEPS 1		/* anything may happen between looking at the lease and at the page */
#else
#define GET_STEPS 0
#endif
#define UPTO(x, max) ((x) < (max) -> (x) + 1 : (max))

inline unlock()
{
	lk = NL;
	page = 0;
	waiting = 0;
	waited_for = 0;
	if
	:: !declared -> flushed = cur
	:: else
	fi;
	if
	:: leaving -> leaving = 0; part = STAYS_OUT
	:: else
	fi
}

/*
 * The witness gives up EX or PR. It skips a flush that its own puts do not call for, so what guest 0 put is
 * guest 0's to answer for. If nobody answers, it gives up like everybody, and its session is over.
 */
inline witness_flushes()
{
	if
	:: witness_put && !down -> pool = 0; printf("STEP who=guest1 op=flush object=0 wait=1\n")
	:: witness_put && down -> witness_lost = 1; printf("STEP who=guest1 op=flush object=0 wait=1\nSTEP who=guest1 op=give_up\n")
	:: else
	fi;
	witness_put = 0
}

/* The host ends guest 0's session, in order or not. */
inline end_session(sticky)
{
	pool = (RULE_R1 -> 0 : pool);
	member = NO_MEMBER;
	expelled = sticky;
	echo_age = T_EXPEL
}

proctype guest()
{
	do
	/* --- the lock, and what is done under it */
	:: atomic { TASKS && waiting == 0 && lk == NL && !declared && !cut ->
		DO(lock_pr) { lk = PR; page = cur; printf("STEP who=lock0 op=grant mode=PR\nSTEP who=guest0 op=read from=disk version=%d\n", cur) } }
	:: atomic { TASKS && waiting == 0 && lk != EX && !declared && !cut && get == 0 && cur < TOP ->
		DO(lock_ex) { witness_flushes(); lk = EX; page = cur; printf("STEP who=lock0 op=grant mode=EX\n") } }
	:: atomic { TASKS && waiting == 0 && HOLDS_EX && !cut && cur < TOP ->
		DO(write) { cur++; page = cur; printf("STEP who=guest0 op=write version=%d\nSTEP who=guest0 op=writeback version=%d\n", cur, cur) } }
	:: atomic { TASKS && lk != NL && part == IN && waiting == 0 && !FULL(0) && !(QUIET && declared) ->
		if
		:: conn[0] == UP ->
			DO(put) { append(0, PUT, page); printf("STEP who=guest0 op=put version=%d\n", page) }
		:: conn[0] != UP ->
			DO(put_failed) { append(0, FLUSH, 0); printf("STEP who=guest0 op=put version=%d\n", page) }
		fi }
	:: atomic { TASKS && lk != NL && waiting == 0 ->
		DO(release) {
			printf("STEP who=guest0 op=flush object=0 wait=%d\n", part == IN);
			if
			:: part == IN -> waiting = ISSUED
			:: else -> unlock()
			fi
		} }
#ifdef LEAVE_TOO
	:: atomic { TASKS && part == IN && waiting == 0 ->
		DO(leave) { waiting = ISSUED; leaving = 1; printf("STEP who=guest0 op=leave\n") } }
	/* A mount made after the last one left has nothing cached and is no zombie. */
	:: atomic { TASKS && part == STAYS_OUT && lk == NL && !declared && !cut && fails < FAILS ->
		DO(remounted) { fails++; part = OUT; proof = 0; expelled = 0; printf("STEP who=guest0 op=mount\n") } }
#endif
	:: atomic { TASKS && waiting == ISSUED && !FULL(0) ->
		DO(flush_queued) {
			waiting = QUEUED;
			append(0, (leaving -> LEAVE : WFLUSH), 0);
			printf("STEP who=guest0 op=queued what=%e\n", op[E(0, n[0] - 1)])
		} }
	:: atomic { RULE_WAIT && TASKS && waiting != 0 && waited_for >= GIVEUP_MIN ->
		DO(gave_up) {
			printf("STEP who=guest0 op=give_up queued=%d\n", waiting == QUEUED);
			turn(0, WFLUSH, FLUSH);
			part = (RULE_GIVEUP_ENDS -> OUT : part);
			unlock()
		} }

	/* --- channel: answers, tokens, echoes */
	:: atomic { TASKS && conn[0] == UP && !down && ap[0] > 0 ->
		DO(answered) {
			printf("STEP who=channel0 op=answer what=%e\n", op[0]);
			if
			:: (op[0] == WFLUSH || op[0] == LEAVE) && waiting == QUEUED -> unlock()
			:: op[0] == ECHO -> proof = ver[0]
			:: else
			fi;
			pop(0)
		} }
	:: atomic { ECHOES && RULE_ECHO_ORDER && conn[0] == UP && part == IN && waiting != ISSUED &&
		    !FULL(0) && !(n[0] > 0 && op[E(0, n[0] - 1)] == ECHO) ->
		DO(echo) { append(0, ECHO, 0); printf("STEP who=guest0 op=echo\n") } }
	:: atomic { ECHOES && !RULE_ECHO_ORDER && conn[0] == UP && part == IN && !down && member == MEMBER && echo_age != 0 &&
		    !(RULE_STICKY && echo_age >= T_EXPEL) ->
		DO(mutant_echo_overtakes) { echo_age = 0; proof = 0; printf("STEP who=guest0 op=echo\nSTEP who=host0 op=apply what=ECHO\n") } }
	/* What was sent before the break is lost, the echo after it is not: the device throws away in silence. */
	:: atomic { !RULE_INSTANCE && TASKS && conn[0] == DOWN && !down && part == IN && member != NO_MEMBER && waiting != ISSUED && echo_age < T_EXPEL ->
		DO(mutant_old_token) { member = MEMBER; echo_age = 0; printf("STEP who=guest0 op=echo\nSTEP who=host0 op=apply what=ECHO\n") } }
	:: atomic { TASKS && conn[0] == UP && !down && part == IN && member == NO_MEMBER ->
		DO(told_over) {
			/* The pool is empty and nothing of this session will be taken, which is what was waited for. */
			part = (expelled -> STAYS_OUT : OUT);
			drop_all(0);
			printf("STEP who=channel0 op=session_over\n");
			if
			:: waiting != 0 -> unlock()
			:: else
			fi
		} }

	/* --- HELLO */
	:: atomic { TASKS && conn[0] == DOWN && !down && part == IN ->
		d_step {
			conn[0] = UP;
			turn(0, ECHO, NOP)
		}
		if
		:: member != NO_MEMBER && !(RULE_AGE && proof >= T_EXPEL) && !(RULE_STICKY && echo_age >= T_EXPEL) ->
			DO(resumed) {
				printf("STEP who=channel0 op=resume replay=%d\n", n[0]);
				if
				:: member == AWAITED -> ap[0] = 0; echo_age = T_LEASE
				:: else
				fi;
				member = MEMBER;
				if
				:: RULE_REPLAY -> turn(0, PUT, FLUSH)
				:: else
				fi
			}
		:: member == NO_MEMBER || (RULE_AGE && proof >= T_EXPEL) || (RULE_STICKY && echo_age >= T_EXPEL) ->
			DO(resume_refused) {
				end_session(expelled || (RULE_AGE && proof >= T_EXPEL) || (RULE_STICKY && member != NO_MEMBER && echo_age >= T_EXPEL));
				printf("STEP who=channel0 op=resume_refused\n")
			}
		fi }
	:: atomic { TASKS && !down && part == OUT && waiting == 0 && (conn[0] == DOWN || n[0] == ap[0]) ->
		d_step {
			conn[0] = UP;
			drop_all(0);
			/* Looked at whenever the host hears from the guest, not only by a timer. */
			expelled = expelled || (member != NO_MEMBER && echo_age >= T_EXPEL)
		}
		if
		:: !(expelled && RULE_STICKY) && !(RULE_AGE && proof >= T_EXPEL) ->
			DO(new_epoch) {
				end_session(0);
				member = MEMBER;
				echo_age = T_LEASE;
				proof = 0;
				part = IN;
				printf("STEP who=channel0 op=new_epoch\n")
			}
		:: (expelled && RULE_STICKY) || (RULE_AGE && proof >= T_EXPEL) ->
			DO(join_refused) {
				end_session(1);
				part = STAYS_OUT;
				printf("STEP who=channel0 op=join_refused\n")
			}
		fi }
	od
}

proctype host()
{
	do
	:: atomic { !down && conn[0] == UP && ap[0] < n[0] && (member == MEMBER && !(RULE_STICKY && echo_age >= T_EXPEL)) ->
		DO(applied) {
			printf("STEP who=host0 op=apply what=%e version=%d\n", op[E(0, ap[0])], ver[E(0, ap[0])]);
			if
			:: op[E(0, ap[0])] == PUT -> pool = ver[E(0, ap[0])]
			:: op[E(0, ap[0])] == FLUSH || op[E(0, ap[0])] == WFLUSH -> pool = 0
			:: op[E(0, ap[0])] == ECHO -> echo_age = (ver[E(0, ap[0])] < echo_age -> ver[E(0, ap[0])] : echo_age)
			:: op[E(0, ap[0])] == LEAVE -> end_session(0)
			:: else
			fi;
			ap[0]++;
			/* A panicked guest takes no answers; without this its queue would fill and hide what it echoes. */
			if
			:: op[0] == ECHO && ap[0] == 1 && life == PANICKED -> pop(0)
			:: else
			fi
		} }
	:: atomic { !down && RULE_STICKY && member != NO_MEMBER && echo_age >= T_EXPEL ->
		DO(expel) { end_session(1); printf("STEP who=host0 op=expel\n") } }
	/* A closed port, a reset or a death that libvirt reports: disorder, whenever the host hears of it. */
	:: atomic { !down && member != NO_MEMBER && (conn[0] == DOWN || life >= PANICKED) ->
		DO(disorder) { end_session(0); printf("STEP who=host0 op=disorder\n") } }

	/* --- the witness */
	:: atomic { RULE_CHECK_FIRST && !GET_STEPS && !down && !HOLDS_EX && SERVED && pool != 0 && pool < cur ->
		DO(mutant_get_wrong) {
			/* A get that hits the right page changes nothing, so only the wrong ones are steps. */
			printf("STEP who=guest1 op=get\nSTEP who=guest1 op=read from=host version=%d\n", pool);
			PROP(flush_is_final, pool >= flushed);
			PROP(no_old_read, pool >= cur)
		} }
	:: atomic { !GET_STEPS && !down && !HOLDS_EX && SERVED && pool != 0 && pool == cur -> DO(get_right) { skip } }
	:: atomic { RULE_CHECK_FIRST && GET_STEPS && !down && get == 0 && !HOLDS_EX && SERVED ->
		DO(get_checked) { get = CHECKED; printf("STEP who=guest1 op=get\nSTEP who=host1 op=lease_checked\n") } }
	:: atomic { !RULE_CHECK_FIRST && !down && get == 0 && !HOLDS_EX && pool != 0 ->
		DO(mutant_get_read) { get = READ; got = pool; printf("STEP who=guest1 op=get\nSTEP who=host1 op=page_read version=%d\n", got) } }
	:: atomic { get == CHECKED && pool != 0 ->
		DO(get_hit) {
			get = 0;
			printf("STEP who=guest1 op=read from=host version=%d\n", pool);
			PROP(flush_is_final, pool >= flushed);
			PROP(no_old_read, pool >= cur)
		} }
	:: atomic { get == CHECKED && pool == 0 -> DO(get_missed) { get = 0 } }
	:: atomic { get == READ ->
		DO(mutant_get_answered) {
			get = 0;
			printf("STEP who=host1 op=lease_checked\nSTEP who=guest1 op=read from=host version=%d\n", got);
			PROP(flush_is_final, !SERVED || got >= flushed);
			PROP(no_old_read, !SERVED || got >= cur);
			got = 0
		} }
	:: atomic { !down && get == 0 && !HOLDS_EX && pool == 0 ->
		DO(witness_put) { pool = cur; witness_put = 1; printf("STEP who=guest1 op=put version=%d\nSTEP who=host1 op=apply what=PUT version=%d\n", cur, cur) } }
	:: atomic { get == 0 && !LOCKED && cur < TOP ->
		DO(witness_write) {
			cur++;
			printf("STEP who=guest1 op=write version=%d\n", cur);
			witness_flushes()
		} }
	od
}

proctype fate()
{
	do
	:: atomic { !(RULE_WAIT && TASKS && waiting != 0 && waited_for == GIVEUP_MAX) && !(TASKS && cut && FENCE_DUE && !declared) ->
		DO(tick) {
			printf("STEP who=clock op=tick\n");
			echo_age = UPTO(echo_age, T_EXPEL);
			proof = UPTO(proof, T_EXPEL);
			i = 0;
			do
			:: i < n[0] ->
				ver[E(0, i)] = (op[E(0, i)] == ECHO -> UPTO(ver[E(0, i)], T_EXPEL) : ver[E(0, i)]);
				i++
			:: else -> break
			od;
			i = 0;
			hb = (TASKS && !cut -> 0 : UPTO(hb, DEAD_AFTER));
			waited_for = (TASKS && waiting != 0 -> waited_for + 1 : waited_for);
			PROP(every_wait_ends, waited_for <= GIVEUP_MAX)
		} }
	:: atomic { hb == DEAD_AFTER && !declared ->
		DO(declared_dead) {
			declared = 1;
			printf("STEP who=lock0 op=recovered\n");
#ifdef S3_TOO
			witness_lost = witness_lost || down;
			pool = (down -> pool : 0);
#endif
		} }
	:: atomic { life != DEAD && ((cut && hb >= FENCE) || declared) ->
		DO(fenced) { life = DEAD; conn[0] = DOWN; lk = (declared -> NL : lk); printf("STEP who=guest0 op=fenced\n") } }
#ifdef PAUSE
	:: atomic { life == RUNS && fails < FAILS -> DO(paused) { fails++; life = PAUSED; printf("STEP who=guest0 op=pause\n") } }
	:: atomic { life == PAUSED -> DO(unpaused) { life = RUNS; hb = (cut || declared -> hb : 0); printf("STEP who=guest0 op=unpause\n") } }
#endif
#ifdef CUT
	:: atomic { life == RUNS && !cut && fails < FAILS -> DO(cut_off) { fails++; cut = 1; printf("STEP who=guest0 op=cut_off\n") } }
#endif
#ifdef PANIC
	:: atomic { life == RUNS && fails < FAILS -> DO(panicked) { fails++; life = PANICKED; printf("STEP who=guest0 op=panic\n") } }
#endif
#ifdef DIE
	:: atomic { life != DEAD && fails < FAILS -> DO(died) { fails++; life = DEAD; conn[0] = DOWN; printf("STEP who=guest0 op=crash\n") } }
#endif
#ifdef BREAK
	:: atomic { conn[0] == UP && fails < FAILS -> DO(broken) { fails++; conn[0] = DOWN; printf("STEP who=channel0 op=break\n") } }
#endif
#ifdef KILL
	:: atomic { !down && fails < FAILS ->
		DO(killed) {
			fails++;
			down = 1;
			conn[0] = DOWN;
			get = 0;
			got = 0;
			printf("STEP who=host0 op=kill\n")
		} }
	:: atomic { down ->
		DO(restarted) {
			down = 0;
			expelled = 0;
			echo_age = T_LEASE;
			member = (member != NO_MEMBER && RULE_DURABLE -> AWAITED : NO_MEMBER);
			pool = (witness_lost -> 0 : pool);
			witness_lost = 0;
			printf("STEP who=host0 op=restart\n")
		} }
#endif
	od
}

init
{
	atomic {
		member = MEMBER;
		run guest();
		run host();
		run fate()
	}
}
