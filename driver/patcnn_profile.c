// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: Profiles
 *
 * Times of a job's steps are collected in memory allocated by the submit ioctl and
 * copied into the client's buffer before the fence signals. Only one thread writes
 * each element at a time: the claimer of a step's first tile and then the finisher of
 * its last one, and each CPU its own column. Reading them needs no lock: every tile
 * done is ordered before the end of the job by &patcnn_job.left.
 */

#include <linux/ktime.h>
#include <linux/overflow.h>
#include <linux/slab.h>

#include "patcnn_drv.h"
#include "patcnn_job.h"
#include "patcnn_worker.h"

/* patcnn_profile_alloc - room for @steps; columns are the CPUs of the pool now. */
struct patcnn_job_profile *patcnn_profile_alloc(struct patcnn_device *pdev, u32 steps)
{
	struct patcnn_job_profile *profile;
	cpumask_var_t cpus;
	unsigned int cpu;
	u16 column = 0;

	if (!zalloc_cpumask_var(&cpus, GFP_KERNEL))
		return NULL;
	profile = kzalloc(sizeof(*profile), GFP_KERNEL_ACCOUNT);
	if (!profile)
		goto err_cpus;

	profile->steps = steps;
	profile->workers = patcnn_pool_cpus(&pdev->pool, cpus);
	profile->column = kcalloc(nr_cpu_ids, sizeof(*profile->column), GFP_KERNEL_ACCOUNT);
	profile->wall_ns = kvcalloc(steps, sizeof(u64), GFP_KERNEL_ACCOUNT);
	profile->busy_ns = kvcalloc(steps, array_size(profile->workers, sizeof(u64)),
				    GFP_KERNEL_ACCOUNT);
	if (!profile->column || !profile->wall_ns || !profile->busy_ns)
		goto err_free;

	for (cpu = 0; cpu < nr_cpu_ids; cpu++)
		profile->column[cpu] = cpumask_test_cpu(cpu, cpus) ? column++ : U16_MAX;
	free_cpumask_var(cpus);
	return profile;

err_free:
	patcnn_profile_free(profile);
err_cpus:
	free_cpumask_var(cpus);
	return NULL;
}

void patcnn_profile_free(struct patcnn_job_profile *profile)
{
	if (!profile)
		return;
	kvfree(profile->busy_ns);
	kvfree(profile->wall_ns);
	kfree(profile->column);
	kfree(profile);
}

/* patcnn_profile_bytes - what it takes in the client's buffer. */
u64 patcnn_profile_bytes(const struct patcnn_job_profile *profile)
{
	u64 numbers = (u64)profile->steps * (1 + profile->workers);

	return sizeof(struct drm_patcnn_profile) + numbers * sizeof(u64);
}

/* patcnn_profile_claim - the first tile of @step has been claimed. */
void patcnn_profile_claim(struct patcnn_job *job, u32 step)
{
	if (job->profile)
		job->profile->wall_ns[step] = ktime_get_ns();
}

/* patcnn_profile_step - the last tile of @step is done; not if none was claimed. */
void patcnn_profile_step(struct patcnn_job *job, u32 step)
{
	struct patcnn_job_profile *profile = job->profile;

	if (profile && profile->wall_ns[step])
		profile->wall_ns[step] = ktime_get_ns() - profile->wall_ns[step];
}

/* patcnn_profile_busy - @cpu has worked @ns for @step. */
void patcnn_profile_busy(struct patcnn_job *job, u32 step, unsigned int cpu, u64 ns)
{
	struct patcnn_job_profile *profile = job->profile;

	if (profile && profile->column[cpu] != U16_MAX)
		profile->busy_ns[step * (u64)profile->workers + profile->column[cpu]] += ns;
}

/* patcnn_profile_write - into the client's buffer; before the fence signals. */
void patcnn_profile_write(struct patcnn_job *job)
{
	struct patcnn_job_profile *profile = job->profile;
	struct drm_patcnn_profile *dst;
	u64 *numbers;

	if (!profile)
		return;
	dst = profile->dst;
	numbers = (u64 *)(dst + 1);
	*dst = (struct drm_patcnn_profile){
		.steps = profile->steps,
		.workers = profile->workers,
		.queued_ns = job->queued_ns,
		.start_ns = job->start_ns,
		.end_ns = job->end_ns,
	};
	memcpy(numbers, profile->wall_ns, array_size(profile->steps, sizeof(u64)));
	memcpy(numbers + profile->steps, profile->busy_ns,
	       array3_size(profile->steps, profile->workers, sizeof(u64)));
}
