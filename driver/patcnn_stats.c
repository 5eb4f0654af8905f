// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: What can be seen and set
 *
 * fdinfo (per client), debugfs (state of the pool), tracepoints, and attributes of the
 * parent device with which the administrator changes the pool at run time. The driver
 * core removes the attributes before the device is taken down.
 */

#include <linux/cpumask.h>
#include <linux/device.h>
#include <linux/seq_file.h>
#include <linux/sysfs.h>

#include <drm/drm_debugfs.h>
#include <drm/drm_file.h>
#include <drm/drm_print.h>

#include "patcnn_drv.h"
#include "patcnn_job.h"
#include "patcnn_model.h"
#include "patcnn_worker.h"

#define CREATE_TRACE_POINTS
#include "patcnn_trace.h"

/* patcnn_show_fdinfo - &drm_driver.show_fdinfo; see drm-usage-stats. */
void patcnn_show_fdinfo(struct drm_printer *p, struct drm_file *file)
{
	struct patcnn_file *pfile = to_patcnn_file(file);
	unsigned int models = 0, contexts = 0;
	struct patcnn_model *model;
	struct patcnn_ctx *ctx;
	unsigned long index;
	u64 bytes = 0;

	xa_lock(&pfile->models);
	xa_for_each(&pfile->models, index, model) {
		bytes += patcnn_model_bytes(model);
		models++;
	}
	xa_unlock(&pfile->models);
	xa_lock(&pfile->contexts);
	xa_for_each(&pfile->contexts, index, ctx)
		contexts++;
	xa_unlock(&pfile->contexts);

	drm_printf(p, "drm-engine-cpu:\t%llu ns\n", atomic64_read(&pfile->client->busy_ns));
	drm_printf(p, "drm-engine-capacity-cpu:\t%u\n",
		   patcnn_pool_cpus(&pfile->pdev->pool, NULL));
	drm_show_memory_stats(p, file);
	drm_printf(p, "drm-total-model:\t%llu KiB\n", DIV_ROUND_UP_ULL(bytes, SZ_1K));
	drm_printf(p, "patcnn-jobs:\t%llu\n", atomic64_read(&pfile->client->jobs));
	drm_printf(p, "patcnn-buffers:\t%d\n", atomic_read(&pfile->bos));
	drm_printf(p, "patcnn-models:\t%u\n", models);
	drm_printf(p, "patcnn-contexts:\t%u\n", contexts);
	drm_printf(p, "patcnn-fences:\t%d\n", atomic_read(&pfile->client->fences));
}

/* patcnn_pool_show - state of slots and workers; tensors and addresses are nobody's business. */
void patcnn_pool_show(struct patcnn_pool *pool, struct seq_file *m)
{
	static const char *const names[PATCNN_SLOTS] = { "high", "normal" };
	unsigned int i, cpu;

	seq_printf(m, "mask: %*pbl\n", cpumask_pr_args(&pool->mask));
	seq_printf(m, "active: %*pbl\n", cpumask_pr_args(&pool->active));
	seq_printf(m, "scratch: %zu\n", READ_ONCE(pool->scratch_bytes));
	for (i = 0; i < PATCNN_SLOTS; i++) {
		struct patcnn_slot *slot = &pool->slot[i];
		u64 seqno = 0, context = 0, claim = 0;
		unsigned int left = 0;
		bool running;

		spin_lock(&pool->lock);
		running = slot->job;
		if (running) {
			context = slot->job->fence->base.context;
			seqno = slot->job->fence->base.seqno;
			claim = atomic64_read(&slot->job->claim);
			left = atomic_read(&slot->job->left);
		}
		spin_unlock(&pool->lock);

		seq_printf(m, "slot %s: orphans %u", names[i], READ_ONCE(slot->orphan_count));
		if (running)
			seq_printf(m, " running %llu:%llu step %u next %u left %u", context, seqno,
				   upper_32_bits(claim), lower_32_bits(claim), left);
		seq_putc(m, '\n');
	}
	for_each_online_cpu(cpu) {
		const struct patcnn_worker *worker = patcnn_worker_of(cpu);

		seq_printf(m, "cpu %u: %s busy_ns %llu slices %llu max_slice_ns %llu\n", cpu,
			   READ_ONCE(worker->idle) ? "idle" : "running",
			   READ_ONCE(worker->busy_ns), READ_ONCE(worker->slices),
			   READ_ONCE(worker->max_slice_ns));
	}
}

static int patcnn_debugfs_state(struct seq_file *m, void *unused)
{
	struct drm_debugfs_entry *entry = m->private;
	struct patcnn_device *pdev = to_patcnn_device(entry->dev);

	seq_printf(m, "isa: %s\n", pat_isa_name(pdev->isa));
	patcnn_pool_show(&pdev->pool, m);
	return 0;
}

void patcnn_debugfs_init(struct patcnn_device *pdev)
{
	drm_debugfs_add_file(&pdev->drm, "state", patcnn_debugfs_state, NULL);
}

/* ---- attributes ---- */

static struct patcnn_pool *to_patcnn_pool(struct device *dev)
{
	struct patcnn_device *pdev = dev_get_drvdata(dev);

	return &pdev->pool;
}

static ssize_t cpus_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct patcnn_pool *pool = to_patcnn_pool(dev);

	return sysfs_emit(buf, "%*pbl\n", cpumask_pr_args(&pool->mask));
}

static ssize_t cpus_store(struct device *dev, struct device_attribute *attr,
			  const char *buf, size_t count)
{
	cpumask_var_t mask;
	int ret;

	if (!zalloc_cpumask_var(&mask, GFP_KERNEL))
		return -ENOMEM;
	ret = cpulist_parse(buf, mask);
	if (!ret)
		ret = patcnn_pool_set_mask(to_patcnn_pool(dev), mask);
	free_cpumask_var(mask);
	return ret ? ret : count;
}
static DEVICE_ATTR_RW(cpus);

static ssize_t nice_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", READ_ONCE(to_patcnn_pool(dev)->nice));
}

static ssize_t nice_store(struct device *dev, struct device_attribute *attr,
			  const char *buf, size_t count)
{
	int ret, nice;

	ret = kstrtoint(buf, 0, &nice);
	if (ret)
		return ret;
	if (nice < MIN_NICE || nice > MAX_NICE)
		return -EINVAL;
	patcnn_pool_set_nice(to_patcnn_pool(dev), nice);
	return count;
}
static DEVICE_ATTR_RW(nice);

static ssize_t patcnn_store_uint(const char *buf, size_t count, unsigned int *value,
				 unsigned int max)
{
	unsigned int parsed;
	int ret;

	ret = kstrtouint(buf, 0, &parsed);
	if (ret)
		return ret;
	if (!parsed || parsed > max)
		return -EINVAL;
	WRITE_ONCE(*value, parsed);
	return count;
}

static ssize_t timeout_ms_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(to_patcnn_pool(dev)->timeout_ms));
}

static ssize_t timeout_ms_store(struct device *dev, struct device_attribute *attr,
				const char *buf, size_t count)
{
	return patcnn_store_uint(buf, count, &to_patcnn_pool(dev)->timeout_ms,
				 PATCNN_MAX_TIMEOUT_MS);
}
static DEVICE_ATTR_RW(timeout_ms);

static ssize_t slice_us_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(to_patcnn_pool(dev)->slice_us));
}

static ssize_t slice_us_store(struct device *dev, struct device_attribute *attr,
			      const char *buf, size_t count)
{
	return patcnn_store_uint(buf, count, &to_patcnn_pool(dev)->slice_us, PATCNN_MAX_SLICE_US);
}
static DEVICE_ATTR_RW(slice_us);

static struct attribute *patcnn_attributes[] = {
	&dev_attr_cpus.attr,
	&dev_attr_nice.attr,
	&dev_attr_timeout_ms.attr,
	&dev_attr_slice_us.attr,
	NULL,
};

static const struct attribute_group patcnn_attribute_group = {
	.attrs = patcnn_attributes,
};

const struct attribute_group *patcnn_attribute_groups[] = {
	&patcnn_attribute_group,
	NULL,
};
