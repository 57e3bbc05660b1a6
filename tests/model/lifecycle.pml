/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a pool: mounts, backends and swap areas that come and go in any order and at the same time.
 *
 * In: the table of the hooks module (ids, dead or alive, with a real pool or without); two file systems (-DTWO_FS),
 * each mounted, remounted read-write (which calls init_fs again) and umounted, more than once; a backend
 * that attaches, detaches and attaches again, and a second one that tries; a processor that read an id from
 * a superblock and uses it late; frontswap stores and loads against detach; a host that makes pools slowly,
 * refuses, or is gone for good.
 *
 * Out, and why that loses nothing:
 * - Queues. A call happens at once here, because what queues do to it is coherency.pml's business; what
 *   matters here is what happens between the moment a caller looks up a pool and the moment it calls.
 * - All but one page of a file system: its contents are the file system's number and a version.
 */
#include "rules.h"

#ifndef MOUNTS
#define MOUNTS 2		/* mounts of file system 0; file system 1 is mounted once */
#endif
#ifndef ATTACHES
#define ATTACHES 2
#endif
#ifndef CALLS
#define CALLS 2			/* calls by the late processor */
#endif
#define IDS 5
#ifndef WRITES
#define WRITES 1
#endif
#define POOLS 5		/* a number is given again once its pool is gone, so late calls can hurt */
#define NONE 255

#define FREE 0
#define LIVE 1
#define DEAD 2

/* Hooks module, one entry for each id. */
byte life[IDS], real[IDS];	/* real: pool number, 0 for none */
bool making[IDS];
byte ids;			/* ids handed out */
byte backend;			/* 0: none */
bool detaching, gone;		/* gone: the host ended */
byte calls_in, makers;		/* calls and pool makers that have begun and not returned */

/* Mounts: fs number -> id in its superblock, serial number of the mount, version of its page. */
byte sb_id[2] = NONE, serial[2], version[2] = 1;
byte serials;

/* Host: pool number -> alive, for which mount, made through which backend, and the page it holds. */
bool alive[POOLS];
byte owner[POOLS], maker[POOLS], page_fs[POOLS], page_ver[POOLS];
byte swapped, storing, stores;	/* pages that frontswap has stored, is storing, ever stored */
byte i, count;			/* scratch, 0 between steps */
byte busy;			/* processes that have not come to rest */

inline destroy(p)
{
	if
	:: p != 0 && alive[p] ->
		alive[p] = 0;
		owner[p] = 0;
		maker[p] = 0;
		page_fs[p] = 0;
		page_ver[p] = 0;
		printf("STEP who=host0 op=destroy_pool pool=%d\n", p)
	:: else
	fi
}

/* Makes the real pool of an id if there is none: the caller may be a mount or an attach. */
inline make(id, mount)
{
	if
	:: atomic { life[id] == LIVE && backend != 0 && real[id] == 0 && !(making[id] && RULE_ONE_MAKER) ->
		DO(make_begun) { making[id] = 1; makers++; made_by = backend } }
	   if
	   :: atomic { !gone ->
		DO(pool_made) {
			made = 1;
			do
			:: alive[made] -> made++
			:: else -> break
			od;
			alive[made] = 1;
			owner[made] = mount;
			maker[made] = made_by;
			printf("STEP who=host0 op=new_pool pool=%d mount=%d\n", made, mount);
			count = 0;
			i = 1;
			do
			:: i < POOLS -> count = count + (alive[i] && owner[i] == mount); i++
			:: else -> break
			od;
			PROP(one_pool_per_mount, count <= 1);
			i = 0;
			count = 0
		} }
	   :: atomic { RULE_WAIT && gone -> DO(make_failed) { made = 0; printf("STEP who=channel0 op=end\n") } }
	   fi;
	   DO(make_ended) {
		making[id] = 0;
		makers--;
		if
		:: !RULE_RECHECK || (life[id] == LIVE && backend == made_by) -> real[id] = made
		:: else -> destroy(made)
		fi;
		made = 0;
		made_by = 0
	   }
	:: atomic { !(life[id] == LIVE && backend != 0 && real[id] == 0 && !(making[id] && RULE_ONE_MAKER)) -> skip }
	fi
}

/* A new id for a superblock. */
inline new_id(fs)
{
	DO(id_given) {
		i = ids;
		if
		:: !RULE_IDS ->
			i = 0;
			do
			:: i < ids && life[i] == LIVE -> i++
			:: else -> break
			od
		:: else
		fi;
		ids = (i == ids -> ids + 1 : ids);
		life[i] = LIVE;
		real[i] = 0;
		sb_id[fs] = i;
		my = i;
		printf("STEP who=guest0 op=init_fs mount=%d id=%d\n", serial[fs], my);
		i = 0
	}
}

proctype mounter(byte fs)
{
	byte my = NONE, made, made_by, mounts, old;

end:	do
	:: atomic { mounts < (fs == 0 -> MOUNTS : 1) && my == NONE ->
		DO(mounted) {
			busy++;
			mounts++;
			serials++;
			serial[fs] = serials;
			printf("STEP who=guest0 op=mount fs=%d mount=%d\n", fs, serials)
		} }
		new_id(fs);
		make(my, serial[fs]);
		DO(mount_ended) { busy-- }
	/* ext4 calls init_fs once more when a read-only mount becomes read-write. */
	:: atomic { my != NONE && mounts == 1 && fs == 0 && !gone ->
		DO(remounted) { mounts++; busy++; printf("STEP who=guest0 op=remount mount=%d\n", serial[fs]) } }
		if
		:: RULE_F8 -> skip
		:: !RULE_F8 -> new_id(fs); make(my, serial[fs])
		fi;
		DO(remount_ended) { busy-- }
	:: atomic { my != NONE ->
		DO(umount) {
			busy++;
			life[my] = DEAD;
			old = real[my];
			real[my] = 0;
			sb_id[fs] = NONE;
			printf("STEP who=guest0 op=umount mount=%d id=%d\n", serial[fs], my)
		} }
		atomic { !RULE_GRACE || calls_in == 0 ->
			DO(umounted) {
				destroy(old);
				printf("STEP who=guest0 op=umounted mount=%d\n", serial[fs]);
				i = 1;
				do
				:: i < POOLS ->
					PROP(no_pool_for_dead_mount, !(alive[i] && owner[i] == serial[fs] && !making[my]));
					i++
				:: else -> break
				od;
				i = 0;
				old = 0;
				my = NONE;
				serial[fs] = 0;
				busy--
			} }
	/* The file system writes and so invalidates, which nobody hears while there is no backend. */
	:: atomic { my != NONE && life[my] == LIVE && version[fs] <= WRITES ->
		DO(written) {
			version[fs]++;
			if
			:: backend != 0 && real[my] != 0 -> page_fs[real[my]] = 0; page_ver[real[my]] = 0
			:: else
			fi;
			printf("STEP who=guest0 op=write fs=%d version=%d\n", fs, version[fs])
		} }
	:: atomic { my != NONE && backend != 0 && real[my] != 0 && page_ver[real[my]] != 0 && alive[real[my]] ->
		DO(get_hit) {
			printf("STEP who=guest0 op=read from=host mount=%d fs=%d version=%d\n", serial[fs], page_fs[real[my]] - 1, page_ver[real[my]]);
			PROP(no_foreign_page, page_fs[real[my]] == fs + 1);
			PROP(no_old_read, page_ver[real[my]] == version[fs]);
			page_fs[real[my]] = 0;
			page_ver[real[my]] = 0
		} }
	od
}

/* Reclaim on another processor: it has read the id, the page and the version, and calls when it calls. */
proctype late(byte fs)
{
	byte id = NONE, ver, pool, calls;

end:	do
	:: atomic { id == NONE && calls < CALLS && sb_id[fs] != NONE ->
		DO(id_read) { calls++; id = sb_id[fs]; ver = version[fs] } }
	:: atomic { id != NONE && pool == 0 ->
		if
		:: life[id] == LIVE && backend != 0 && real[id] != 0 ->
			DO(late_enters) { pool = real[id]; calls_in++ }
		:: !(life[id] == LIVE && backend != 0 && real[id] != 0) ->
			DO(late_dropped) { id = NONE; ver = 0 }
		fi }
	:: atomic { pool != 0 ->
		DO(late_put) {
			PROP(no_call_after_unload, alive[pool]);
			PROP(one_backend, !alive[pool] || maker[pool] == backend || detaching);
			if
			:: alive[pool] && ver == version[fs] -> page_fs[pool] = fs + 1; page_ver[pool] = ver
			:: else
			fi;
			printf("STEP who=guest0 op=put fs=%d id=%d pool=%d version=%d\n", fs, id, pool, ver);
			calls_in--;
			id = NONE;
			ver = 0;
			pool = 0
		} }
	od
}

proctype transport()
{
	byte made, made_by, attaches, detaches, k, mount_of;

end:	do
	:: atomic { attaches < ATTACHES && (backend == 0 || !RULE_BUSY) && !gone && !detaching ->
		DO(attach) {
			busy++;
			attaches++;
			backend = attaches;
			i = 1;
			do
			:: i < POOLS && !RULE_NEW_POOLS -> maker[i] = (alive[i] -> backend : 0); i++
			:: else -> break
			od;
			i = 0;
			printf("STEP who=guest0 op=attach backend=%d\n", backend)
		} }
		k = 0;
		do
		:: atomic { k < IDS && life[k] == LIVE -> mount_of = (sb_id[0] == k -> serial[0] : serial[1]) }
			make(k, mount_of);
			k++
		:: atomic { k < IDS && life[k] != LIVE -> k++ }
		:: atomic { k == IDS -> k = 0; break }
		od;
		skip;	/* a break may not lead into a d_step */
		DO(attached) { busy--; mount_of = 0 }
	:: atomic { attaches < ATTACHES && backend != 0 && RULE_BUSY ->
		DO(second_refused) { attaches++; printf("STEP who=guest0 op=attach result=busy\n") } }
	:: atomic { backend != 0 && !detaching && detaches <= ATTACHES ->
		DO(detach) { busy++; detaches++; detaching = 1; printf("STEP who=guest0 op=detach\n") } }
		if
		:: atomic { RULE_F1 && storing == 0 && swapped != 0 ->
			DO(detach_refused) { detaching = 0; busy--; printf("STEP who=guest0 op=detach result=busy\n") } }
		:: atomic { !RULE_F1 || (storing == 0 && swapped == 0) ->
			DO(detached) { backend = 0 } }
			atomic { !RULE_GRACE || (calls_in == 0 && makers == 0) ->
				DO(unloaded) {
					i = 0;
					do
					:: i < IDS && RULE_NEW_POOLS -> destroy(real[i]); real[i] = 0; i++
					:: else -> break
					od;
					i = 0;
					detaching = 0;
					busy--;
					printf("STEP who=guest0 op=detached\n")
				} }
		fi
	od
}

proctype swapper()
{
end:	do
	:: atomic { backend != 0 && !(detaching && RULE_F1) && swapped == 0 && storing == 0 && stores < 2 ->
		DO(store) { stores++; storing = 1; printf("STEP who=guest0 op=store\n") } }
	:: atomic { storing == 1 -> DO(stored) { storing = 0; swapped = 1; printf("STEP who=guest0 op=stored\n") } }
	:: atomic { swapped == 1 ->
		DO(load) {
			printf("STEP who=guest0 op=load\n");
			PROP(load_never_fails, backend != 0);
			swapped = 0
		} }
	od
}

proctype fate()
{
	do
	:: atomic { !gone -> DO(host_gone) { gone = 1; printf("STEP who=host0 op=end\n") } }
	:: atomic { timeout ->
		PROP(every_wait_ends, busy == 0);
		break }
	od
}

init
{
	atomic {
		run mounter(0);
#ifdef TWO_FS
		run mounter(1);
#endif
		run late(0);
#ifdef ATTACHED		/* from before the first mount, and for good */
		backend = 1;
#else
		run transport();
#endif
#ifdef SWAP
		run swapper();
#endif
		run fate()
	}
}
