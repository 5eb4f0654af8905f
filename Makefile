# SPDX-License-Identifier: MIT
# What a person types. Everything is built in build/$(ARCH)/; each folder has a
# Makefile of its own that takes BUILD=, CC= and PKG_CONFIG=.

HOST_ARCH := $(subst aarch64,arm64,$(shell uname -m))
ARCH ?= $(HOST_ARCH)
override ARCH := $(subst aarch64,arm64,$(ARCH))

TOP := $(CURDIR)
BUILD := $(TOP)/build/$(ARCH)

ifneq ($(ARCH),$(HOST_ARCH))
CROSS_COMPILE ?= aarch64-linux-gnu-
ifeq ($(origin PKG_CONFIG),undefined)
PKG_CONFIG := $(TOP)/tools/vm/pkg-config-$(ARCH)
endif
endif
ifeq ($(origin CC),default)
CC := $(CROSS_COMPILE)gcc
endif
PKG_CONFIG ?= pkg-config
export ARCH CROSS_COMPILE CC PKG_CONFIG
MAKEFLAGS += --no-print-directory

# A board builds against its own kernel; KDIR= chooses another.
KDIR ?= /lib/modules/$(shell uname -r)/build
DESTDIR ?=
PREFIX ?= /usr/local

sub = $(MAKE) -C $(1) BUILD=$(BUILD) CC="$(CC)" PKG_CONFIG="$(PKG_CONFIG)"

.PHONY: help all compute lib tools modules run check check-debug soak fuzz-ioctl fuzz verify-zoo tune-zoo bench bench-quick \
	install modules_install dkms_install dkms_uninstall clean

help:
	@echo 'make run            the main job: build, boot a VM, run a pruned CNN on real images'
	@echo '  ARCH=arm64          on QEMU aarch64'
	@echo '  MODEL=x.patcnn INPUT=a.png  one'"'"'s own'
	@echo 'make check          all tests: host, QEMU x86-64, QEMU arm64'
	@echo 'make check-debug    the device tests on kernels with their checks on; mutants of the driver'
	@echo 'make soak TIME=1h   races, unbinding, unloading, random calls in a kernel with KASAN'
	@echo '  RACES=10m           each race for that long; ROUNDS=10000: the module loaded, used, unloaded'
	@echo 'make fuzz-ioctl TIME=10m  random calls alone'
	@echo 'make verify-zoo     every layer of nine nets against an independent runtime'
	@echo 'make tune-zoo       what tuning gains on three nets, dense and pruned'
	@echo 'make bench          nets and layers beside oneDNN, XNNPACK and ONNX Runtime; make bench-quick: 5 minutes'
	@echo 'make fuzz           a million mutated programs through validator and executor'
	@echo 'make all            libpatcnn and the patcnn command, in build/ARCH'
	@echo 'make modules        patcnn.ko for KDIR (default: the running kernel)'
	@echo 'make install        library, command, headers, man pages, udev rule (DESTDIR, PREFIX)'
	@echo 'make modules_install  patcnn.ko for KDIR; make dkms_install: rebuilt with every new kernel'
	@echo 'ARCH= CROSS_COMPILE= KDIR= as kernel people expect. make clean removes build/.'

all: lib tools

compute:
	$(call sub,driver/compute)

lib:
	$(call sub,libpatcnn)

tools: compute lib
	$(call sub,tools/patcnn)

modules:
	$(MAKE) -C driver KDIR=$(KDIR) BUILD=$(BUILD)

modules_install dkms_install dkms_uninstall:
	$(MAKE) -C tools/install $@ KDIR=$(KDIR) BUILD=$(BUILD) DESTDIR=$(DESTDIR) PREFIX=$(PREFIX)

# tools/deps prints what is missing before it installs it.
run:
	tools/deps $(if $(filter arm64,$(ARCH)),arm64,run)
	@echo 'Building libpatcnn and the patcnn command for $(ARCH)'
	@$(MAKE) -s all
	@tools/demo

check:
	tools/deps check
	selftests/run

check-debug:
	tools/deps check debug
	selftests/run debug kasan kcsan rt 16k mutants

TIME ?= 10m
soak:
	tools/deps check debug
	selftests/soak $(if $(ROUNDS),reload $(ROUNDS),$(if $(RACES),races $(RACES),$(TIME)))

fuzz-ioctl:
	tools/deps check debug
	selftests/soak fuzz $(TIME) $(SEED)

fuzz:
	tools/deps check
	$(call sub,selftests/fuzz) fuzz

verify-zoo: all
	tools/deps train
	tools/verify-zoo $(BUILD)/patcnn

tune-zoo: all
	tools/deps train
	tools/tune-zoo $(BUILD)/patcnn

bench bench-quick: all
	tools/deps bench
	$(call sub,tools/bench) $@

install: all
	$(call sub,libpatcnn) install DESTDIR=$(DESTDIR) PREFIX=$(PREFIX)
	$(call sub,tools/patcnn) install DESTDIR=$(DESTDIR) PREFIX=$(PREFIX)
	$(MAKE) -C tools/install udev DESTDIR=$(DESTDIR) PREFIX=$(PREFIX)

clean:
	rm -rf build
