# SPDX-License-Identifier: MIT
#
# The ONNX side of the patcnn command, included by the Makefile here and by what
# else links the compiler (tests, fuzzers): objects, packages, generated files.
#
# Wants: src, obj. Gives: compile-objs, prune-objs, compile-pkgs.

onnx-proto ?= /usr/include/onnx/onnx.proto

compile-objs := onnx.pb-c.o \
	arena.o graph.o ops.o compile.o cut.o cmd_compile.o \
	onnx_read.o onnx_order.o onnx_tensor.o onnx_depth.o \
	infer.o infer_const.o infer_shape.o infer_window.o fold.o fold_math.o \
	lower.o lower_conv.o lower_layout.o lower_pool.o \
	sparsity.o fkw.o program_write.o cmd_verify.o verify_onnx.o verify_widen.o \
	$(patsubst $(src)%.c,%.o,$(sort $(wildcard $(src)passes/*.c)))
prune-objs := cmd_prune.o prune_onnx.o prune_rules.o prune_patterns.o
compile-pkgs := libprotobuf-c

$(obj)/onnx.pb-c.c: $(onnx-proto)
	@mkdir -p $(@D)
	protoc-c --proto_path=$(dir $<) --c_out=$(@D) $(notdir $<)

$(obj)/onnx.pb-c.h: $(obj)/onnx.pb-c.c ;

$(obj)/onnx.pb-c.o: $(obj)/onnx.pb-c.c
	$(CC) $(tool-cflags) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(addprefix $(obj)/,onnx_read.o onnx_order.o onnx_tensor.o onnx_depth.o prune_onnx.o verify_onnx.o verify_widen.o): $(obj)/onnx.pb-c.h

# The compiler alone, for tests: $(obj)/libpatcompile.a
compile-lib := $(obj)/libpatcompile.a
$(compile-lib): $(addprefix $(obj)/,$(filter-out cmd_%.o verify_%.o,$(compile-objs)) \
		$(filter-out cmd_%.o,$(prune-objs)))
	$(AR) rcs $@ $^
.PHONY: compile-lib
compile-lib: $(compile-lib)
