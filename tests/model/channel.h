/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The channel of one client, as the models of queued operations see it.
 *
 * op[]/ver[] hold what client g has issued and the host has not answered yet, oldest first: n[g] entries,
 * of which the host has applied the first ap[g]. So one array is at once the guest's staging, the
 * virtqueue, the socket and the replies under way; where in that line an entry is changes nothing that
 * anybody can observe, only whether the host has applied it and whether the guest knows.
 * An entry that has been applied carries its result in ver[].
 *
 * WFLUSH: a flush that somebody waits for. AHEAD: a get that runs ahead; VOID: one whose result is no longer
 * wanted. OLDPUT: a put that answers no gets in the guest any more
 * (given up, or flushed over); the host cannot tell it from any other.
 */
#define UP	0
#define DOWN	1		/* broken; may come back */
#define ENDED	2		/* will not come back */

#define E(g, k)	((g) * QL + (k))
#define FULL(g)	(n[g] == QL)

mtype = { NOP, PUT, OLDPUT, FLUSH, WFLUSH, GET, AHEAD, VOID, LEAVE };

mtype op[NG * QL];
byte ver[NG * QL];
byte n[NG], ap[NG], conn[NG];
byte i;				/* scratch, 0 between steps */

inline append(g, o, v)
{
	op[E(g, n[g])] = o;
	ver[E(g, n[g])] = v;
	n[g]++
}

/* Every entry of kind a becomes kind b: what a guest does with requests it no longer wants answered. */
inline turn(g, a, b)
{
	i = 0;
	do
	:: i < n[g] ->
		if
		:: op[E(g, i)] == a -> op[E(g, i)] = b
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0
}

/* Without K a flush overtakes whatever the host has not taken yet, as with one queue for each kind. */
inline append_flush(g)
{
#if RULE_K
	append(g, FLUSH, 0)
#else
	turn(g, PUT, OLDPUT);
	i = n[g];
	do
	:: i > ap[g] -> op[E(g, i)] = op[E(g, i - 1)]; ver[E(g, i)] = ver[E(g, i - 1)]; i--
	:: else -> break
	od;
	op[E(g, i)] = FLUSH;
	ver[E(g, i)] = 0;
	n[g]++;
	i = 0
#endif
}

inline pop(g)
{
	n[g]--;
	ap[g]--;
	i = 0;
	do
	:: i < n[g] -> op[E(g, i)] = op[E(g, i + 1)]; ver[E(g, i)] = ver[E(g, i + 1)]; i++
	:: else -> break
	od;
	op[E(g, i)] = 0;
	ver[E(g, i)] = 0;
	i = 0
}

inline drop_all(g)
{
	i = 0;
	do
	:: i < QL -> op[E(g, i)] = 0; ver[E(g, i)] = 0; i++
	:: else -> break
	od;
	n[g] = 0;
	ap[g] = 0;
	i = 0
}
