/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_FUZZ_MUTATE_H
#define PATCNN_FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Mutations that know what a program is: they change one member of one table,
 * and often repair what follows from it, so that a good share of the results
 * passes the validator and reaches the planner and the kernels.
 */

/* Change the @size bytes at @data, of @max, by the generator @seed. Return: the new size. */
size_t mutate_program(uint8_t *data, size_t size, size_t max, unsigned int seed);

/* A new random net in @data; 0 if it does not fit in @max. */
size_t mutate_generate(uint8_t *data, size_t max, unsigned int seed);

#endif
