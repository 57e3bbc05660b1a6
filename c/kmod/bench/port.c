// SPDX-License-Identifier: GPL-2.0-or-later
/* A port of the transport's kind, compiled a second time: it finds itself another name and another
 * struct tmem_transport here, and an object of its own. */
#include "../transport/bytes.c"
#include "../transport/control.c"
#include "../transport/device.c"
