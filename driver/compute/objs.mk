# SPDX-License-Identifier: GPL-2.0-only OR MIT
# The objects of the compute core, for the host library (Makefile) and the module
# (driver/Kbuild). Names are relative to driver/compute and without suffix.
# PAT_ARCH is x86_64, arm64 or anything else before this is included.

# Integers only: ordinary kernel code.
pat-int := program program_op program_window program_weights program_work program_text \
	   plan plan_chain plan_layout plan_memory plan_nd plan_reduce plan_tune plan_window \
	   pack exec exec_chain isa \
	   kernels/conv_plan kernels/conv_group kernels/conv_taps kernels/conv_cols \
	   kernels/conv_pats kernels/conv_strips kernels/conv_dw kernels/conv_gemv \
	   kernels/conv_gemm kernels/conv_wino

# Floats and vectors: built with the FPU flags of the architecture and those below, and
# called between kernel_fpu_begin() and kernel_fpu_end() only.
pat-simd-generic := kernels/op_generic kernels/isa_generic
pat-simd-x86_64 := kernels/op_avx2 kernels/isa_avx2 kernels/op_avx512 kernels/isa_avx512
pat-simd-arm64 := kernels/op_neon kernels/isa_neon
pat-simd := $(pat-simd-generic) $(pat-simd-$(PAT_ARCH))

pat-flags-simd := -ffreestanding -fno-math-errno -ffp-contract=off
pat-flags-avx2 := -mavx2 -mfma
pat-flags-avx512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma \
		    -mprefer-vector-width=512

# $(call pat-flags,kernels/op_avx2): flags of one vector object.
pat-flags = $(pat-flags-simd) $(pat-flags-$(lastword $(subst _, ,$(notdir $(1)))))
