// SPDX-License-Identifier: GPL-2.0-only
/*
 * An exporter of dma-bufs as no driver should make them, for the device tests: memory
 * that is said to be a device's, that cannot be mapped or attached to, or whose size is
 * no multiple of anything.
 */

#include <linux/dma-buf.h>
#include <linux/fs.h>
#include <linux/iosys-map.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

#include "patcnn_exporter.h"

#define EXPORTER_MAX_BYTES	(64U << 20)

struct exporter_buffer {
	struct patcnn_exporter_make made;
	void *memory;
};

static int exporter_attach(struct dma_buf *dmabuf, struct dma_buf_attachment *attachment)
{
	struct exporter_buffer *buffer = dmabuf->priv;

	return buffer->made.kind == PATCNN_EXPORTER_NO_ATTACH ? -ENXIO : 0;
}

static struct sg_table *exporter_map_dma(struct dma_buf_attachment *attachment,
					 enum dma_data_direction direction)
{
	return ERR_PTR(-ENODEV);
}

static void exporter_unmap_dma(struct dma_buf_attachment *attachment, struct sg_table *table,
			       enum dma_data_direction direction)
{
}

static int exporter_vmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
	struct exporter_buffer *buffer = dmabuf->priv;

	/* Nobody may touch that; if somebody does, it is memory after all. */
	if (buffer->made.kind == PATCNN_EXPORTER_IOMEM)
		iosys_map_set_vaddr_iomem(map, (void __iomem __force *)buffer->memory);
	else
		iosys_map_set_vaddr(map, buffer->memory);
	return 0;
}

static void exporter_vunmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
}

static int exporter_mmap(struct dma_buf *dmabuf, struct vm_area_struct *vma)
{
	struct exporter_buffer *buffer = dmabuf->priv;

	return remap_vmalloc_range(vma, buffer->memory, vma->vm_pgoff);
}

static void exporter_release(struct dma_buf *dmabuf)
{
	struct exporter_buffer *buffer = dmabuf->priv;

	vfree(buffer->memory);
	kfree(buffer);
}

static const struct dma_buf_ops exporter_ops = {
	.attach = exporter_attach,
	.map_dma_buf = exporter_map_dma,
	.unmap_dma_buf = exporter_unmap_dma,
	.mmap = exporter_mmap,
	.vmap = exporter_vmap,
	.vunmap = exporter_vunmap,
	.release = exporter_release,
};

static const struct dma_buf_ops exporter_ops_no_vmap = {
	.map_dma_buf = exporter_map_dma,
	.unmap_dma_buf = exporter_unmap_dma,
	.mmap = exporter_mmap,
	.release = exporter_release,
};

static int exporter_make(struct patcnn_exporter_make *make)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct exporter_buffer *buffer;
	struct dma_buf *dmabuf;

	if (!make->bytes || make->bytes > EXPORTER_MAX_BYTES || make->kind >= PATCNN_EXPORTER_KINDS)
		return -EINVAL;
	buffer = kzalloc(sizeof(*buffer), GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;
	buffer->made = *make;
	buffer->memory = vmalloc_user(make->bytes);
	if (!buffer->memory) {
		kfree(buffer);
		return -ENOMEM;
	}
	info.ops = make->kind == PATCNN_EXPORTER_NO_VMAP ? &exporter_ops_no_vmap : &exporter_ops;
	info.size = make->bytes;
	info.flags = O_RDWR;
	info.priv = buffer;
	dmabuf = dma_buf_export(&info);
	if (IS_ERR(dmabuf)) {
		vfree(buffer->memory);
		kfree(buffer);
		return PTR_ERR(dmabuf);
	}
	make->fd = dma_buf_fd(dmabuf, O_CLOEXEC);
	if (make->fd < 0)
		dma_buf_put(dmabuf);
	return make->fd < 0 ? make->fd : 0;
}

static long exporter_ioctl(struct file *file, unsigned int request, unsigned long argument)
{
	void __user *user = (void __user *)argument;
	struct patcnn_exporter_make make;
	int ret;

	if (request != PATCNN_EXPORTER_MAKE)
		return -ENOTTY;
	if (copy_from_user(&make, user, sizeof(make)))
		return -EFAULT;
	ret = exporter_make(&make);
	if (!ret && copy_to_user(user, &make, sizeof(make)))
		return -EFAULT;
	return ret;
}

static const struct file_operations exporter_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = exporter_ioctl,
};

static struct miscdevice exporter_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "patcnn_exporter",
	.fops = &exporter_fops,
};
module_misc_device(exporter_device);

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
MODULE_IMPORT_NS(DMA_BUF);
#else
MODULE_IMPORT_NS("DMA_BUF");
#endif
MODULE_DESCRIPTION("dma-bufs that importers must refuse");
MODULE_LICENSE("GPL");
