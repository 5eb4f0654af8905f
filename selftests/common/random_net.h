/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_RANDOM_NET_H
#define PATCNN_RANDOM_NET_H

/*
 * Random correct programs: single operators with random geometry, and nets of
 * several. Everything follows from the generator of the struct pb, so a seed
 * names a program for ever.
 */

#include "build_program.h"

#define RN_NONE (~0u)

/* struct rn_limits - how large. */
struct rn_limits {
	__u32 channels;		/* at most */
	__u32 side;		/* rows and columns at most */
	__u32 kernel;		/* rows and columns of a kernel at most */
};

/* A convolution on @in in @storage; *@text describes it. */
__u32 rn_conv(struct pb *pb, __u32 in, __u16 storage, const struct rn_limits *lim, char *text,
	      size_t text_size);
/* Any operator of @kind on @in with random parameters; RN_NONE if @in does not suit it. */
__u32 rn_operator(struct pb *pb, __u16 kind, __u32 in, const struct rn_limits *lim);
/* A random input that suits @kind. */
__u32 rn_input(struct pb *pb, __u16 kind, const struct rn_limits *lim);
/* Choices for the operators that are there: some sound, some for other CPUs, some nonsense. */
void rn_tune(struct pb *pb);
/* A net of up to @operators operators with one to three outputs. */
void rn_net(struct pb *pb, unsigned int operators, const struct rn_limits *lim);

#endif
