/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_EXPORTER_H
#define PATCNN_EXPORTER_H

#include <linux/ioctl.h>
#include <linux/types.h>

enum patcnn_exporter_kind {
	PATCNN_EXPORTER_PLAIN,
	PATCNN_EXPORTER_IOMEM,
	PATCNN_EXPORTER_NO_VMAP,
	PATCNN_EXPORTER_NO_ATTACH,
	PATCNN_EXPORTER_KINDS
};

struct patcnn_exporter_make {
	__u64 bytes;
	__u32 kind;
	__s32 fd;	/* returned */
};

#define PATCNN_EXPORTER_MAKE _IOWR('e', 0x60, struct patcnn_exporter_make)

#endif
