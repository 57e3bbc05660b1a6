// SPDX-License-Identifier: GPL-2.0-or-later
/* The device of the port: it comes, begins anew, and goes. */
#include <linux/gfp.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/virtio_config.h>

#include "port.h"

const char *tmem_port_device_name(struct tmem_port *port)
{
	return dev_name(&port->device->dev);
}

/* The port begins anew once it has lost one part of as many of its queue. */
enum { WORN_PART = 8 };

static void interrupt(struct virtqueue *queue)
{
	tmem_pump_wake();
}

static void control_interrupt(struct virtqueue *queue)
{
	tmem_pump_attend();
}

static void free_port(struct tmem_port *port)
{
	u32 i;

	for (i = 0; i < TMEM_PORT_INPUT_PAGES; i++)
		free_page((unsigned long)port->input[i]);
	kfree(port->messages);
	kfree(port->control);
	kfree(port->queues);
	kfree(port);
}

static struct tmem_port *new_port(struct virtio_device *device)
{
	struct tmem_port *port = kzalloc(sizeof(*port), GFP_KERNEL);
	u32 i;

	if (!port)
		return NULL;
	port->device = device;
	virtio_cread(device, struct virtio_console_config, max_nr_ports, &port->ports);
	port->ports = clamp_t(u32, port->ports, 1, 31);
	port->queues = kcalloc(2 * port->ports + 2, sizeof(*port->queues), GFP_KERNEL);
	port->control = kcalloc(TMEM_PORT_CONTROL_PIECES, TMEM_PORT_CONTROL_BYTES, GFP_KERNEL);
	port->messages = kcalloc(TMEM_PORT_CONTROL_PIECES, sizeof(*port->messages), GFP_KERNEL);
	for (i = 0; i < TMEM_PORT_INPUT_PAGES; i++)
		port->input[i] = (u8 *)__get_free_page(GFP_KERNEL);
	for (i = 0; i < TMEM_PORT_INPUT_PAGES; i++)
		if (!port->input[i])
			break;
	if (i == TMEM_PORT_INPUT_PAGES && port->queues && port->control && port->messages)
		return port;
	free_port(port);
	return NULL;
}

static int find_queues(struct tmem_port *port)
{
	u32 i, count = 2 * port->ports + 2;
	vq_callback_t **callbacks = kcalloc(count, sizeof(*callbacks), GFP_KERNEL);
	const char **names = kcalloc(count, sizeof(*names), GFP_KERNEL);
	int code = -ENOMEM;

	if (callbacks && names) {
		for (i = 0; i < count; i++) {
			/* a queue without a name would shift those behind it (V2) */
			names[i] = i & 1 ? "output" : "input";
			callbacks[i] = i < 2 || i == 3 ? NULL : interrupt;
		}
		callbacks[2] = control_interrupt;
		/* port 0 can be ours only where there is no other */
		if (port->ports == 1)
			callbacks[0] = callbacks[1] = interrupt;
		code = virtio_find_vqs(port->device, count, port->queues, callbacks, names, NULL);
	}
	kfree(callbacks);
	kfree(names);
	return code;
}

static int start(struct tmem_port *port)
{
	int code = find_queues(port);

	if (code)
		return code;
	port->number = TMEM_PORT_NONE;
	port->host_open = 0;
	port->next = port->oldest = 0;
	port->lost = 0;
	port->running = true;
	virtio_device_ready(port->device);
	tmem_port_control_begin(port);
	return 0;
}

static void stop(struct tmem_port *port)
{
	port->listening = false;
	port->running = false;
	port->device->config->reset(port->device);
	port->device->config->del_vqs(port->device);
}

/* ---- beginning anew ------------------------------------------------------------------- */

bool tmem_port_worn(struct tmem_port *port)
{
	if (!port->running)
		return true;
	return port->listening &&
	       port->lost >= virtqueue_get_vring_size(tmem_port_output_queue(port)) / WORN_PART;
}

/* What the core does before a probe: the features are those that it chose then. */
static int begin_anew(struct virtio_device *device, struct tmem_port *port)
{
	int code;

	virtio_add_status(device, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	virtio_add_status(device, VIRTIO_CONFIG_S_DRIVER);
	code = device->config->finalize_features(device);
	if (code)
		return code;
	if (virtio_has_feature(device, VIRTIO_F_VERSION_1)) {
		virtio_add_status(device, VIRTIO_CONFIG_S_FEATURES_OK);
		if (!(device->config->get_status(device) & VIRTIO_CONFIG_S_FEATURES_OK))
			return -ENODEV;
	}
	return start(port);
}

int tmem_port_renew(struct tmem_port *port)
{
	/* whoever reclaims may be waiting for the port (F4), so this must not wait for them */
	unsigned int flags = memalloc_noreclaim_save();
	int code;

	if (port->running)
		stop(port);
	code = begin_anew(port->device, port);
	if (code)
		port->device->config->reset(port->device);
	memalloc_noreclaim_restore(flags);
	return code;
}

/* ---- driver --------------------------------------------------------------------------- */

static int probe(struct virtio_device *device)
{
	struct tmem_port *port;
	int code = -ENODEV;

	/* every console is offered to us; what is left as it was, virtio_console can still take
	 * (V1) */
	if (strcmp(dev_name(&device->dev), tmem_transport_device()) || tmem_transport.port ||
	    !virtio_has_feature(device, VIRTIO_CONSOLE_F_MULTIPORT))
		goto refuse;
	code = -ENOMEM;
	port = new_port(device);
	if (!port)
		goto refuse;
	code = start(port);
	if (code) {
		free_port(port);
		goto refuse;
	}
	device->priv = port;
	mutex_lock(&tmem_transport.pump);
	tmem_transport.port = port;
	tmem_transport.counters.devices++;
	mutex_unlock(&tmem_transport.pump);
	tmem_pump_attend();
	return 0;
refuse:
	device->config->reset(device);
	return code;
}

/* It cannot be refused (F1): a channel that breaks, and may come back with another device. */
static void remove(struct virtio_device *device)
{
	struct tmem_port *port = device->priv;

	mutex_lock(&tmem_transport.pump);
	tmem_transport.port = NULL;
	if (tmem_transport.up)
		tmem_pump_host_closed();
	mutex_unlock(&tmem_transport.pump);
	if (port->running)
		stop(port);
	free_port(port);
}

static const struct virtio_device_id ids[] = {{VIRTIO_ID_CONSOLE, VIRTIO_DEV_ANY_ID}, {0}};
static const unsigned int features[] = {VIRTIO_CONSOLE_F_MULTIPORT};

/* No MODULE_DEVICE_TABLE: nothing loads this module for a console (V1). */
static struct virtio_driver driver = {
	.driver.name = KBUILD_MODNAME,
	.driver.owner = THIS_MODULE,
	.id_table = ids,
	.feature_table = features,
	.feature_table_size = ARRAY_SIZE(features),
	.probe = probe,
	.remove = remove,
};

int tmem_port_register(void)
{
	return register_virtio_driver(&driver);
}

void tmem_port_unregister(void)
{
	unregister_virtio_driver(&driver);
}
