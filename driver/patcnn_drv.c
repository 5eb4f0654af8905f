// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: The device
 *
 * There is one, bound to a device-tree node, or to a platform device that the module
 * registers when the tree has none. It is an accel node where the kernel has that class
 * and a render node otherwise.
 *
 * Settings come from, in this order: module parameters, the device-tree node, defaults.
 *
 * Removal: drm_dev_unplug() waits for the short sections that push jobs and create
 * contexts, and makes every later ioctl fail. Then contexts are killed, which cancels
 * their jobs; the workers end when they have let go of all. Open files, models, buffers
 * and fences stay valid: they keep memory and module.
 */

#include <linux/module.h>
#include <linux/dma-mapping.h>
#include <linux/of.h>
#include <linux/platform_device.h>
#include <linux/pm.h>
#include <linux/sched/isolation.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <drm/drm_accel.h>
#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_gem.h>
#include <drm/drm_ioctl.h>

#include "patcnn_compat.h"
#include "patcnn_drv.h"
#include "patcnn_gem.h"
#include "patcnn_job.h"
#include "patcnn_model.h"
#include "patcnn_query.h"
#include "patcnn_simd.h"

#define PATCNN_NICE_UNSET	INT_MIN
#define PATCNN_DEFAULT_NICE	10
#define PATCNN_DEFAULT_TIMEOUT	2000
#define PATCNN_DEFAULT_SLICE	100
/* Many times what it takes. */
#define PATCNN_CLOSE_WAIT	(HZ / 10)

static char *cpus;
module_param(cpus, charp, 0444);
MODULE_PARM_DESC(cpus, "CPUs of the pool as a list, e.g. 1-3 (default: all that are not isolated)");

static int nice = PATCNN_NICE_UNSET;
module_param(nice, int, 0444);
MODULE_PARM_DESC(nice, "nice level of the workers (default: 10)");

static uint timeout_ms;
module_param(timeout_ms, uint, 0444);
MODULE_PARM_DESC(timeout_ms, "a job that runs longer is cancelled (default: 2000, at most 10000)");

static uint slice_us;
module_param(slice_us, uint, 0444);
MODULE_PARM_DESC(slice_us, "longest time a worker keeps its CPU (default: 100, at most 1000)");

static char *isa;
module_param(isa, charp, 0444);
MODULE_PARM_DESC(isa, "instruction set: generic, avx2, avx512, neon (default: the best there is)");

struct workqueue_struct *patcnn_release_wq;
struct workqueue_struct *patcnn_sched_wq;

/* smpboot callbacks know only their CPU: see patcnn_worker.c. */
static atomic_t patcnn_bound = ATOMIC_INIT(0);

/* ---- files ---- */

static void patcnn_client_free(struct kref *kref)
{
	kfree(container_of(kref, struct patcnn_client, kref));
}

void patcnn_client_put(struct patcnn_client *client)
{
	kref_put(&client->kref, patcnn_client_free);
}

static int patcnn_open(struct drm_device *drm, struct drm_file *file)
{
	struct patcnn_client *client = kzalloc(sizeof(*client), GFP_KERNEL_ACCOUNT);
	struct patcnn_file *pfile = kzalloc(sizeof(*pfile), GFP_KERNEL_ACCOUNT);
	unsigned int i;

	if (!client || !pfile) {
		kfree(client);
		kfree(pfile);
		return -ENOMEM;
	}
	kref_init(&client->kref);
	for (i = 0; i < PATCNN_PRIORITIES; i++) {
		INIT_LIST_HEAD(&client->queue[i].node);
		INIT_LIST_HEAD(&client->queue[i].contexts);
	}
	client->id = file->client_id;
	pfile->pdev = to_patcnn_device(drm);
	pfile->client = client;
	xa_init_flags(&pfile->models, XA_FLAGS_ALLOC1);
	xa_init_flags(&pfile->contexts, XA_FLAGS_ALLOC1);
	file->driver_priv = pfile;
	return 0;
}

static void patcnn_postclose(struct drm_device *drm, struct drm_file *file)
{
	struct patcnn_file *pfile = to_patcnn_file(file);
	struct patcnn_model *model;
	struct patcnn_ctx *ctx;
	unsigned long index;

	xa_for_each(&pfile->contexts, index, ctx)
		patcnn_ctx_release(ctx);
	xa_for_each(&pfile->models, index, model)
		patcnn_model_put(model);
	xa_destroy(&pfile->contexts);
	xa_destroy(&pfile->models);

	/*
	 * Jobs are released by workqueues. Who closes the last file expects to be able
	 * to remove the module, so give them a moment; a fence that somebody else holds
	 * is no reason to wait longer. Only the last: a process that is killed with a
	 * thousand files has to be gone, and its memory, before as many moments.
	 */
	if (atomic_read(&drm->open_count) == 1)
		patcnn_fences_wait(PATCNN_CLOSE_WAIT);
	patcnn_client_put(pfile->client);
	kfree(pfile);
}

/*
 * patcnn_array_get - copy an array of user space
 * @in: count has not been checked
 * @min: size of an element in the first version of the uapi; callers know at least that
 * @size: of an element as the driver knows it
 * @max: elements at most
 *
 * Elements the caller knows less of are filled up with zeros; what it knows more
 * must be zero.
 *
 * Return: memory for kvfree(), or an error pointer.
 */
void *patcnn_array_get(const struct drm_patcnn_obj_array *in, size_t min, size_t size, u32 max)
{
	void *out;
	u32 i;
	int ret;

	if (in->count > max || (in->count && in->stride < min) || in->stride > PAGE_SIZE)
		return ERR_PTR(-EINVAL);
	out = kvcalloc(max(in->count, 1U), size, GFP_KERNEL_ACCOUNT);
	if (!out)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < in->count; i++) {
		ret = copy_struct_from_user(out + i * size, size,
					    u64_to_user_ptr(in->array + (u64)i * in->stride),
					    in->stride);
		if (ret) {
			kvfree(out);
			return ERR_PTR(ret == -E2BIG ? -EINVAL : ret);
		}
	}
	return out;
}

/* ---- driver ---- */

/* DRM_RENDER_ALLOW means the right thing on both kinds of node. */
#define PATCNN_IOCTL(n, func) DRM_IOCTL_DEF_DRV(PATCNN_##n, patcnn_ioctl_##func, DRM_RENDER_ALLOW)

static const struct drm_ioctl_desc patcnn_ioctls[] = {
	PATCNN_IOCTL(DEV_QUERY, dev_query),
	PATCNN_IOCTL(BO_CREATE, bo_create),
	PATCNN_IOCTL(BO_MMAP_OFFSET, bo_mmap_offset),
	PATCNN_IOCTL(BO_SYNC, bo_sync),
	PATCNN_IOCTL(MODEL_CREATE, model_create),
	PATCNN_IOCTL(MODEL_DESTROY, model_destroy),
	PATCNN_IOCTL(MODEL_QUERY, model_query),
	PATCNN_IOCTL(MODEL_EXPORT, model_export),
	PATCNN_IOCTL(MODEL_IMPORT, model_import),
	PATCNN_IOCTL(CTX_CREATE, ctx_create),
	PATCNN_IOCTL(CTX_DESTROY, ctx_destroy),
	PATCNN_IOCTL(SUBMIT, submit),
};

/*
 * A file of an accel node has no master, which the core's ioctls for display clients
 * (GET_UNIQUE, GET_MAGIC) follow without a look: the core keeps them from render nodes
 * only. What a render node may not call, neither kind of node may here.
 */
static bool patcnn_ioctl_allowed(unsigned int cmd)
{
	unsigned int flags;

	return !drm_ioctl_flags(DRM_IOCTL_NR(cmd), &flags) || (flags & DRM_RENDER_ALLOW);
}

static long patcnn_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return patcnn_ioctl_allowed(cmd) ? drm_ioctl(file, cmd, arg) : -EACCES;
}

#ifdef CONFIG_COMPAT
static long patcnn_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return patcnn_ioctl_allowed(cmd) ? drm_compat_ioctl(file, cmd, arg) : -EACCES;
}
#endif

static const struct file_operations patcnn_fops = {
	.owner = THIS_MODULE,
#if IS_ENABLED(CONFIG_DRM_ACCEL)
	.open = accel_open,
#else
	.open = drm_open,
#endif
	.release = drm_release,
	.unlocked_ioctl = patcnn_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl = patcnn_compat_ioctl,
#endif
	.poll = drm_poll,
	.read = drm_read,
	.llseek = noop_llseek,
	.mmap = drm_gem_mmap,
	.show_fdinfo = drm_show_fdinfo,
	.fop_flags = FOP_UNSIGNED_OFFSET,
};

/* 0.1: everything in patcnn_drm.h. */
static const struct drm_driver patcnn_driver = {
	.driver_features = DRIVER_GEM | DRIVER_SYNCOBJ | DRIVER_SYNCOBJ_TIMELINE |
			   (IS_ENABLED(CONFIG_DRM_ACCEL) ? DRIVER_COMPUTE_ACCEL : DRIVER_RENDER),
	.name = "patcnn",
	.desc = "CNN inference on CPU cores",
	.major = 0,
	.minor = 1,
	.open = patcnn_open,
	.postclose = patcnn_postclose,
	.ioctls = patcnn_ioctls,
	.num_ioctls = ARRAY_SIZE(patcnn_ioctls),
	.fops = &patcnn_fops,
	.gem_create_object = patcnn_gem_create_object,
	.gem_prime_import = patcnn_gem_prime_import,
	.show_fdinfo = patcnn_show_fdinfo,
};

/* ---- settings ---- */

static int patcnn_cpus_from_node(struct device_node *node, struct cpumask *mask)
{
	int i, count = of_count_phandle_with_args(node, "cpus", NULL);

	for (i = 0; i < count; i++) {
		struct device_node *cpu = of_parse_phandle(node, "cpus", i);
		int id = cpu ? of_cpu_node_to_id(cpu) : -ENODEV;

		of_node_put(cpu);
		if (id >= 0)
			cpumask_set_cpu(id, mask);
	}
	return cpumask_empty(mask) ? -ENOENT : 0;
}

/*
 * All CPUs by default, but for those set apart for other purposes: the workers have
 * normal scheduling at nice 10, so that whatever else wants to run gets about ten times
 * their share and a desktop stays usable, while an otherwise idle machine gives them all
 * of its cores. SCHED_FIFO would starve everything, SCHED_IDLE would let any background
 * job delay fences without bound.
 */
static int patcnn_set_cpus(struct patcnn_pool *pool, struct device_node *node)
{
	cpumask_var_t mask;
	int ret = 0;

	if (!zalloc_cpumask_var(&mask, GFP_KERNEL))
		return -ENOMEM;
	if (cpus)
		ret = cpulist_parse(cpus, mask);
	else if (patcnn_cpus_from_node(node, mask))
		cpumask_and(mask, housekeeping_cpumask(HK_TYPE_DOMAIN),
			    housekeeping_cpumask(HK_TYPE_TICK));
	if (!ret)
		ret = patcnn_pool_set_mask(pool, mask);
	free_cpumask_var(mask);
	return ret;
}

static unsigned int patcnn_setting(struct device_node *node, const char *property,
				   unsigned int parameter, unsigned int fallback, unsigned int max)
{
	u32 value = fallback;

	if (parameter)
		value = parameter;
	else
		of_property_read_u32(node, property, &value);
	return clamp(value, 1U, max);
}

static void patcnn_settings(struct patcnn_pool *pool, struct device_node *node)
{
	s32 level = PATCNN_DEFAULT_NICE;

	if (nice != PATCNN_NICE_UNSET)
		level = nice;
	else
		of_property_read_s32(node, "patcnn,nice", &level);
	pool->nice = clamp(level, MIN_NICE, MAX_NICE);
	pool->timeout_ms = patcnn_setting(node, "patcnn,timeout-ms", timeout_ms,
					  PATCNN_DEFAULT_TIMEOUT, PATCNN_MAX_TIMEOUT_MS);
	pool->slice_us = patcnn_setting(node, "patcnn,slice-us", slice_us,
					PATCNN_DEFAULT_SLICE, PATCNN_MAX_SLICE_US);
}

/* ---- probe and remove ---- */

static int patcnn_init(struct patcnn_device *pdev, struct device *dev)
{
	int ret;

	mutex_init(&pdev->ctx_lock);
	INIT_LIST_HEAD(&pdev->contexts);
	pdev->isa = patcnn_simd_select(isa);
	if (!pdev->isa)
		return dev_err_probe(dev, -ENODEV, "no instruction set %s here\n", isa);

	patcnn_settings(&pdev->pool, dev->of_node);
	ret = patcnn_pool_init(&pdev->pool);
	if (ret)
		return ret;
	ret = patcnn_set_cpus(&pdev->pool, dev->of_node);
	if (ret) {
		dev_err(dev, "no usable CPU in the list\n");
		goto fini_pool;
	}
	patcnn_debugfs_init(pdev);
	ret = drm_dev_register(&pdev->drm, 0);
	if (ret)
		goto fini_pool;
	return 0;

fini_pool:
	patcnn_pool_fini(&pdev->pool);
	return ret;
}

static int patcnn_probe(struct platform_device *platform)
{
	struct device *dev = &platform->dev;
	struct patcnn_device *pdev;
	int ret;

	if (atomic_cmpxchg(&patcnn_bound, 0, 1))
		return dev_err_probe(dev, -EBUSY, "there is one pool of CPUs already\n");

	/* Exporters that map at attach must not bounce. */
	ret = dma_coerce_mask_and_coherent(dev, DMA_BIT_MASK(64));
	if (ret)
		goto unbind;
	dma_set_max_seg_size(dev, UINT_MAX);

	pdev = devm_drm_dev_alloc(dev, &patcnn_driver, struct patcnn_device, drm);
	if (IS_ERR(pdev)) {
		ret = PTR_ERR(pdev);
		goto unbind;
	}
	platform_set_drvdata(platform, pdev);
	ret = patcnn_init(pdev, dev);
	if (ret)
		goto unbind;
	dev_info(dev, "%u CPUs, %s\n", patcnn_pool_cpus(&pdev->pool, NULL),
		 pat_isa_name(pdev->isa));
	return 0;

unbind:
	atomic_set(&patcnn_bound, 0);
	return ret;
}

static void patcnn_remove(struct platform_device *platform)
{
	struct patcnn_device *pdev = platform_get_drvdata(platform);

	drm_dev_unplug(&pdev->drm);
	patcnn_ctx_kill_all(pdev);
	patcnn_pool_drain(&pdev->pool);
	patcnn_pool_fini(&pdev->pool);
	atomic_set(&patcnn_bound, 0);
}

static int patcnn_suspend(struct device *dev)
{
	struct patcnn_device *pdev = dev_get_drvdata(dev);

	return patcnn_pool_pause(&pdev->pool);
}

static int patcnn_resume(struct device *dev)
{
	struct patcnn_device *pdev = dev_get_drvdata(dev);

	patcnn_pool_resume(&pdev->pool);
	return 0;
}

static DEFINE_SIMPLE_DEV_PM_OPS(patcnn_pm, patcnn_suspend, patcnn_resume);

static const struct of_device_id patcnn_of_match[] = {
	{ .compatible = "patcnn,cpu-pool" },
	{ }
};
MODULE_DEVICE_TABLE(of, patcnn_of_match);

static struct platform_driver patcnn_platform_driver = {
	.probe = patcnn_probe,
	.remove = patcnn_remove,
	.driver = {
		.name = "patcnn",
		.of_match_table = patcnn_of_match,
		.dev_groups = patcnn_attribute_groups,
		.pm = pm_sleep_ptr(&patcnn_pm),
	},
};

static struct platform_device *patcnn_self;

static bool patcnn_in_device_tree(void)
{
	struct device_node *node;

	for_each_matching_node(node, patcnn_of_match) {
		if (of_device_is_available(node)) {
			of_node_put(node);
			return true;
		}
	}
	return false;
}

static int __init patcnn_module_init(void)
{
	int ret = -ENOMEM;

	patcnn_release_wq = alloc_workqueue("patcnn-release", WQ_UNBOUND, 0);
	/* Like the pool, it is in the path of fences: no memory is waited for. */
	patcnn_sched_wq = alloc_ordered_workqueue("patcnn-sched", WQ_MEM_RECLAIM);
	if (!patcnn_release_wq || !patcnn_sched_wq)
		goto destroy_wqs;
	ret = platform_driver_register(&patcnn_platform_driver);
	if (ret)
		goto destroy_wqs;
	if (!patcnn_in_device_tree()) {
		patcnn_self = platform_device_register_simple("patcnn", PLATFORM_DEVID_NONE,
							      NULL, 0);
		if (IS_ERR(patcnn_self)) {
			ret = PTR_ERR(patcnn_self);
			goto unregister;
		}
	}
	return 0;

unregister:
	platform_driver_unregister(&patcnn_platform_driver);
destroy_wqs:
	if (patcnn_sched_wq)
		destroy_workqueue(patcnn_sched_wq);
	if (patcnn_release_wq)
		destroy_workqueue(patcnn_release_wq);
	return ret;
}
module_init(patcnn_module_init);

static void __exit patcnn_module_exit(void)
{
	platform_device_unregister(patcnn_self);
	platform_driver_unregister(&patcnn_platform_driver);
	/* Contexts come by way of RCU; of fences the work may not have returned yet. */
	rcu_barrier();
	destroy_workqueue(patcnn_release_wq);
	/* After that: what is released has been through it. */
	destroy_workqueue(patcnn_sched_wq);
}
module_exit(patcnn_module_exit);

MODULE_DESCRIPTION("PatCNN: CNN inference on CPU cores");
MODULE_AUTHOR("The PatCNN project");
MODULE_LICENSE("GPL");
