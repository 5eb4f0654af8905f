/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_HOST_CHECK_H
#define PATCNN_HOST_CHECK_H

#include <stdbool.h>
#include "build_program.h"
#include "host_run.h"

/*
 * Run the program on every ISA that is built in and runs here: with one worker
 * and tiles out of order, with several threads, fused and not; compare with the
 * reference, and runs that differ only in what the memory held before with each
 * other, bit by bit. @label is printed with what is wrong.
 * Return: number of failures; the tables of @pb are freed.
 */
unsigned int check_program(struct pb *pb, u64 seed, const char *label);

/* More of it: 1, 2 and 4 threads, several cache sizes. */
unsigned int check_program_thoroughly(struct pb *pb, u64 seed, const char *label);

/* PATCNN_TEST_CASES per cent of @n, at least 1; 100 without it. */
unsigned int check_cases(unsigned int n);

/* Greatest error in units of its bound since the start. */
extern double check_worst;

/* AddressSanitizer knows the exact end of a block; without it pages do the work. */
#ifdef PATCNN_ASAN
#define CHECK_GUARD HR_GUARD_EXACT
#else
#define CHECK_GUARD HR_GUARD_PAGES
#endif

#endif
