# Builds tgraph.  `make help` lists targets and variables.
#
# One Makefile for the whole tree.  Objects go to build/<variant>/, mirroring the folders; every
# source is listed below, by folder, and `make check` tells if one is missing.

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

VERSION := 0.1.0
SOVERSION := 0

# ---- Sources --------------------------------------------------------------------------------

GRAPH_SRC := arena.c args.c block.c body.c cost.c cycle.c dtype.c environment.c error.c expr.c expr_eval.c \
             fingerprint.c freeze.c gate.c graph.c infer.c kernel_cache.c names.c op.c place.c race.c scalar.c \
             sha256.c space.c task.c
MEM_SRC := cluster.c hostops.c order.c pinned.c pool.c program.c recorder.c replica.c replica_block.c \
           replica_copy.c replica_evict.c replica_piece.c replica_snapshot.c split.c staging.c store.c
SCHED_SRC := agenda.c alike.c backend.c bounds.c calibrate.c calibrate_builtins.c calibrate_devices.c \
             calibrate_graphs.c calibrate_inside.c calibrate_kernels.c calibrate_memory.c choice.c control.c \
             cpu_module.c cut.c finite.c futex.c guide.c header_text.c history.c home.c instance.c least_moved.c \
             machine.c offer.c offload.c offload_ahead.c offload_balance.c offload_collective.c offload_enqueue.c \
             offload_finish.c offload_graph.c offload_insert.c offload_instance.c offload_policy.c offload_preview.c \
             offload_recording.c offload_rounds.c offload_run.c offload_stream.c offload_span.c offload_step.c \
             offload_submit.c offload_submitter.c parking.c partition.c placement.c plan.c policy.c policy_list.c policy_mix.c \
             policy_steal.c process.c queueing.c ready.c record.c replay_cache.c replay_choice.c replay_costs.c replay_libraries.c replay_times.c \
             resident_batch.c resident_check.c resident_cluster.c resident_dynamic.c resident_gain.c resident_inside.c resident_place.c \
             resident_plan.c resident_post.c resident_spread.c resolve.c run.c runtime.c sample.c seat.c serial.c service.c \
             service_beat.c service_call.c service_graph.c service_instance.c service_program.c service_queue.c \
             service_tables.c service_watch.c share.c sharing.c simulate.c spawn.c task.c timing.c topology.c \
             urgency.c virtual_memory.c watchdog.c worker.c workload.c
KERNELS_SRC := align.c arith.c attention.c axpy.c blas.c builtin.c copy.c dense.c factor.c fatbin.c fft.c fill.c \
               gemm.c hash.c histogram.c is_above.c launch.c layer.c matvec.c reduce.c resident.c scan.c spin.c \
               stencil.c syrk.c transpose.c trsm.c trsv.c
# Device code: the variants for GPUs, compiled as one module and embedded with CUDA=1.
CUDA_SRC := align.cu arith.cu attention.cu axpy.cu copy.cu factor.cu fft.cu fill.cu gemm.cu hash.cu histogram.cu \
            invert.cu is_above.cu layer.cu matvec.cu reduce.cu scan.cu spin.cu stencil.cu syrk.cu transpose.cu \
            trsm.cu trsv.cu
IO_SRC := checkpoint.c checkpoint_data.c checkpoint_group.c checksum.c counter_chart.c critical_path.c \
          diagnostic.c dot.c fmt.c foreign.c gantt.c gen.c gen_lines.c gen_parts.c gen_plan.c import.c \
          import_dax.c import_dot.c import_mtx.c import_stg.c import_wfformat.c journal.c json_argument.c \
          json_buffer.c json_check.c json_emit.c json_expand.c json_graph.c json_head.c json_init.c json_kernel.c \
          json_load.c json_loop.c json_names.c json_out.c json_pool.c json_reference.c json_report.c json_scope.c \
          json_stream.c json_tape.c json_task.c json_tree.c json_value.c layout.c lint.c live_log.c live_record.c \
          machine_json.c machine_write.c mermaid.c npy.c outlook.c output.c page.c palette.c path.c plan_json.c \
          program_picture.c recording.c recording_check.c recording_chrome.c recording_counters.c recording_dot.c \
          recording_file.c recording_html.c recording_memory.c recording_names.c recording_offers.c \
          recording_paths.c recording_perfetto.c recording_plan.c recording_rows.c recording_table.c \
          recording_views.c report.c report_print.c results.c run_bounds.c saved_plan.c saved_plan_record.c \
          schedule.c schema.c service_board.c service_metrics.c service_show.c service_sign.c source.c sparse.c \
          steps.c templates.c text.c trsv_graph.c units.c utf8.c verify.c workflow.c workflow_order.c \
          workflow_write.c write_buffer.c write_json.c write_task.c
CLI_SRC := bench.c cache.c calibrate.c check.c checkpoint.c completion.c crash.c device_choice.c devices.c \
           devices_matrix.c diff.c diff_graph.c doctor.c document.c expand.c explain.c explanations.c export.c \
           export_program.c export_recording.c fmt.c gen.c help.c help_json.c import.c init.c interrupt.c load.c \
           machine_choice.c main.c message.c options.c plan.c preferences.c progress.c recording.c report.c \
           results.c run.c run_job.c run_record.c run_summary.c schema.c serve.c serve_graph.c simulate.c table.c \
           top.c why.c
# Test programs, tests/test_<name>.c, and scripts, tests/<name>.sh.
TESTS := agenda alloc block calibrate checkpoint choice cli cpu_module dense deque diagnostic dot driver \
         environment examples examples_graph expr fmt gen graph graph_refusals history hostops import infer invalid json_tape \
         kernel_cache kernels kernels_elements kernels_fields launch library_channel library_gang library_memory \
         library_report live_record load load_memory machine npy offload_ahead offload_blank offload_early offload_exchange \
         offload_flags offload_graph offload_insert offload_policy offload_resident order outlook page parking partition path \
         pinned plan plan_corpus pool process program program_picture queueing recording recording_export \
         recording_plan replay_choice replay_libraries replay_times resident resident_cluster resident_dynamic resident_family \
         resident_batch resident_block resident_gain resident_peers resident_post resident_spawn resident_spread resident_times resident_user resident_width results run \
         run_children run_failures run_record sample schema seat offload offload_balance offload_edges \
         offload_faults offload_refusals offload_runs offload_stream offload_submitter service service_board \
         service_faults service_graph service_instances service_programs service_ring service_top service_turn \
         service_watch sha256 sharing sparse split staging standin standin_builtins standin_graphs standin_memory \
         standin_nccl standin_nvrtc standin_order store timing topology verify write_json
TEST_SCRIPTS := checkpoint cli devices device_faults device_graphs examples fences install kernels predict readme record serve \
                stack warp

# What talks to the CUDA driver; needs no toolkit.
GPU_HOST_SRC := blas.c blas_call.c bodies.c cluster.c code.c collective.c decide.c device.c driver.c executor.c \
                graph.c graph_capture.c graph_chain.c graph_decide.c graph_flags.c graph_time.c launch.c \
                library/fatbin.c module.c nvrtc.c nvtx.c resident/fatbin.c resident/text.c shape.c stay.c
# Device code of the resident executor, a module of its own.
RESIDENT_SRC := dynamic.cu probe.cu static.cu
# The same for graphs, with bodies of the built-in kernels.
RESIDENT_RUN_SRC := run.cu
# The same for programs on several devices.
RESIDENT_PEERS_SRC := peers.cu peers_probe.cu
# That of a service, in the same module.
SERVICE_SRC := doorbell.cu service.cu
# Device code that tries the device library, a module of its own.
LIBRARY_SRC := trial.cu
# The driver for tests (tests/standin/standin.h), which they load at run time.
STANDIN_SRC := allocation.c builtins.c capture.c code.c copy.c core.c device.c event.c graph.c graph_exec.c \
               graph_nodes.c graph_update.c memory.c object.c report.c resident.c resident_dynamic.c resident_spread.c service.c \
               service_bodies.c service_keeping.c stream.c work.c
STANDIN_NVRTC_SRC := nvrtc.c nvrtc_compile.c nvrtc_source.c
STANDIN_NCCL_SRC := nccl.c nccl_group.c nccl_work.c
LIB_SRC := $(GRAPH_SRC:%=graph/%) $(MEM_SRC:%=mem/%) $(SCHED_SRC:%=sched/%) $(KERNELS_SRC:%=kernels/%) \
           $(IO_SRC:%=io/%) $(GPU_HOST_SRC:%=gpu/%)
PROGRAM_SRC := $(CLI_SRC:%=io/cli/%)

# ---- Variables ------------------------------------------------------------------------------

CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
AR ?= ar
PKG_CONFIG ?= pkg-config
PREFIX ?= /usr/local
DESTDIR ?=
bindir := $(PREFIX)/bin
libdir := $(PREFIX)/lib
includedir := $(PREFIX)/include
datadir := $(PREFIX)/share

V ?= 0
DEBUG ?= 0
SAN ?=
WERROR ?= 0
ifneq ($(V),1)
Q := @
endif

ifneq ($(SAN),)
  ifneq ($(filter thread,$(SAN)),)
    VARIANT := tsan
  else
    VARIANT := asan
  endif
  OPTIMISE := -O1 -fno-omit-frame-pointer
  SANITIZE := -fsanitize=$(SAN)
  ifeq ($(VARIANT),tsan)
    # The only fences are those of sched/parking.h, and what they order is atomic.
    SANITIZE += -Wno-tsan
  endif
  ifneq ($(findstring undefined,$(SAN)),)
    SANITIZE += -fno-sanitize-recover=undefined
  endif
else ifeq ($(DEBUG),1)
  VARIANT := debug
  OPTIMISE := -O0
else
  VARIANT := release
  OPTIMISE := -O2
endif
B := build/$(VARIANT)

# pkg-config need not be there: the libraries live in the system's default folders as a rule.
DEP_CFLAGS := $(shell $(PKG_CONFIG) --cflags hwloc 2>/dev/null)
DEP_LIBS := $(or $(shell $(PKG_CONFIG) --libs hwloc 2>/dev/null),-lhwloc)
# What tests use beside the library; jansson is a second opinion about JSON.
TEST_LIBS := -lcmocka -ljansson

# nvcc compiles device code alone, and only with CUDA=1.
NVCC ?= $(or $(shell command -v nvcc),$(wildcard /usr/local/cuda/bin/nvcc),nvcc)
CUDA ?= $(if $(shell command -v $(NVCC)),1,0)
# Compute capabilities to compile for; the last one also as PTX, for GPUs to come.
ARCHS ?= 80 90a
PTX_ARCH = $(patsubst %a,%,$(lastword $(ARCHS)))
ifeq ($(CUDA),1)
  FATBIN := $(B)/kernels.fatbin
  RESIDENT_FATBIN := $(B)/resident.fatbin
  DECIDE_FATBIN := $(B)/decide.fatbin
  RESIDENT_RUN_FATBIN := $(B)/resident_run.fatbin
  RESIDENT_PEERS_FATBIN := $(B)/resident_peers.fatbin
  LIBRARY_FATBIN := $(B)/library.fatbin
  CUDA_FLAGS := -DTG_HAVE_CUDA=1 -DTG_KERNELS_FATBIN='"$(FATBIN)"' -DTG_RESIDENT_FATBIN='"$(RESIDENT_FATBIN)"' \
                -DTG_DECIDE_FATBIN='"$(DECIDE_FATBIN)"' -DTG_RESIDENT_RUN_FATBIN='"$(RESIDENT_RUN_FATBIN)"' \
                -DTG_RESIDENT_PEERS_FATBIN='"$(RESIDENT_PEERS_FATBIN)"'
endif

CFLAGS ?=
LDFLAGS ?=
WARNINGS := -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror)
ALL_CFLAGS = -std=gnu11 $(WARNINGS) $(OPTIMISE) -g -D_GNU_SOURCE= -fPIC -fvisibility=hidden -pthread $(SANITIZE) -I. \
             $(DEP_CFLAGS) $(CUDA_FLAGS) $(CFLAGS)
ALL_LIBS := $(DEP_LIBS) -ldl -lm -lpthread
LINK = $(CC) $(SANITIZE) $(LDFLAGS)

# ---- Products -------------------------------------------------------------------------------

PROGRAM := $(B)/tgraph
STATIC := $(B)/libtgraph.a
SHARED := $(B)/libtgraph.so
# The subcommands as an archive, so that tests can reach them.
CLI_LIB := $(B)/libcli.a
# Failing every allocation in turn is a loop over runs: minutes under the thread sanitizer, where it
# finds nothing that test_run does not.
TEST_PROGRAMS := $(patsubst %,$(B)/tests/test_%,$(if $(filter tsan,$(VARIANT)),$(filter-out alloc,$(TESTS)),$(TESTS)))
STANDIN := $(B)/tests/libstandin-cuda.so
STANDIN_OBJ := $(STANDIN_SRC:%.c=$(B)/tests/standin/%.o)

LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o)
CLI_OBJ := $(PROGRAM_SRC:%.c=$(B)/%.o)

.PHONY: all tests demo check bench bundle install uninstall clean help FORCE
.SECONDARY:

all: $(PROGRAM) $(STATIC) $(SHARED)

define HELP
make            build the program and the library (build/release/tgraph, libtgraph.a, libtgraph.so)
make demo       install what is missing, build, factorise a matrix from a file, check it, draw its graph
make check      install what is missing, build, run all tests
make bench      build the benchmarks beside the peers that are installed, run them, print a table
make install    install program, library, header, manual pages and completions
make uninstall  remove them again
make bundle     an archive with everything but the C library that runs where it is unpacked
make tests      build the test programs without running them
make clean      remove build/

Variables:
  CUDA=0|1                     with GPU code: default 1 if nvcc is found and there is GPU code to build
  ARCHS="80 90a"               compute capabilities to compile for; the last also as PTX, for later GPUs
  SAN=address,undefined        build with these sanitizers, in build/asan
  SAN=thread                   build with the thread sanitizer, in build/tsan
  DEBUG=1                      without optimisation, in build/debug
  V=1                          show commands
  WERROR=1                     treat warnings as errors
  CC, CFLAGS, LDFLAGS          compiler and additional flags
  PREFIX=/usr/local, DESTDIR=  where install puts things
  T="names run"                only these tests, for make check
endef
export HELP
help:
	@echo "$$HELP"

tests: all $(TEST_PROGRAMS) $(STANDIN) $(addprefix $(B)/tests/,libstandin-nvrtc.so libstandin-nccl.so libstandin-nvtx.so standin-kernels.txt)

# Optimisation beyond the rest, for loops over elements; CFLAGS_FILE is for single files:
#     $(B)/kernels/gemm.o: CFLAGS_FILE := -mfma
$(B)/kernels/%.o: CFLAGS_KERNEL = $(if $(filter release,$(VARIANT)),-O3)

$(B)/%.o: %.c $(B)/.flags
	@mkdir -p $(@D)
	@$(if $(Q),echo "  CC      $<")
	$(Q)$(CC) $(ALL_CFLAGS) $(CFLAGS_KERNEL) $(CFLAGS_FILE) -MMD -MP -MF $(@:.o=.d) -c -o $@ $<

ifeq ($(CUDA),1)
# One translation unit, so that all kernels share one record of faults and one module.
$(B)/kernels.cu: Makefile
	@mkdir -p $(@D)
	$(Q)printf '#include "kernels/%s"\n' $(CUDA_SRC) | cmp -s - $@ || printf '#include "kernels/%s"\n' $(CUDA_SRC) > $@

$(FATBIN): $(B)/kernels.cu $(CUDA_SRC:%=kernels/%) $(wildcard kernels/*.cuh) kernels/fault.h
	@$(if $(Q),echo "  NVCC    $@")
	$(Q)$(NVCC) -std=c++17 -O3 -I. -fatbin --threads 0 \
	    $(foreach a,$(ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
	    -gencode arch=compute_$(PTX_ARCH),code=compute_$(PTX_ARCH) -o $@ $<

$(B)/kernels/fatbin.o: $(FATBIN)

$(B)/resident.cu: Makefile
	@mkdir -p $(@D)
	$(Q)printf '#include "gpu/%s"\n' $(RESIDENT_SRC:%=resident/%) $(SERVICE_SRC:%=service/%) > $@.new
	$(Q)cmp -s $@.new $@ || cp $@.new $@

$(RESIDENT_FATBIN): $(B)/resident.cu $(RESIDENT_SRC:%=gpu/resident/%) $(SERVICE_SRC:%=gpu/service/%) \
                    $(wildcard gpu/resident/*.h gpu/resident/enter.cuh gpu/service/*.h mem/resident_*.h mem/service_*.h)
	@$(if $(Q),echo "  NVCC    $@")
	$(Q)$(NVCC) -std=c++17 -O3 -I. -fatbin --threads 0 \
	    $(foreach a,$(ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
	    -gencode arch=compute_$(PTX_ARCH),code=compute_$(PTX_ARCH) -o $@ $<

$(RESIDENT_RUN_FATBIN): $(RESIDENT_RUN_SRC:%=gpu/resident/%) $(wildcard gpu/resident/*.h gpu/resident/*.cuh mem/resident_*.h kernels/*.cuh kernels/resident/*.cuh) kernels/resident.h
	@$(if $(Q),echo "  NVCC    $@")
	$(Q)$(NVCC) -std=c++17 -O3 -I. -fatbin --threads 0 \
	    $(foreach a,$(ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
	    -gencode arch=compute_$(PTX_ARCH),code=compute_$(PTX_ARCH) -o $@ $<

$(B)/resident_peers.cu: Makefile
	@mkdir -p $(@D)
	$(Q)printf '#include "gpu/resident/%s"\n' $(RESIDENT_PEERS_SRC) > $@.new
	$(Q)cmp -s $@.new $@ || cp $@.new $@

$(RESIDENT_PEERS_FATBIN): $(B)/resident_peers.cu $(RESIDENT_PEERS_SRC:%=gpu/resident/%) $(wildcard gpu/resident/*.h gpu/resident/enter.cuh mem/resident_*.h)
	@$(if $(Q),echo "  NVCC    $@")
	$(Q)$(NVCC) -std=c++17 -O3 -I. -fatbin --threads 0 \
	    $(foreach a,$(ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
	    -gencode arch=compute_$(PTX_ARCH),code=compute_$(PTX_ARCH) -o $@ $<

$(B)/gpu/resident/fatbin.o: $(RESIDENT_FATBIN) $(RESIDENT_RUN_FATBIN) $(RESIDENT_PEERS_FATBIN)

$(DECIDE_FATBIN): gpu/decide.cu gpu/decide.h gpu/flag.h
	@$(if $(Q),echo "  NVCC    $@")
	@mkdir -p $(@D)
	$(Q)$(NVCC) -std=c++17 -O3 -I. -fatbin --threads 0 \
	    $(foreach a,$(ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
	    -gencode arch=compute_$(PTX_ARCH),code=compute_$(PTX_ARCH) -o $@ $<

$(B)/gpu/decide.o: $(DECIDE_FATBIN)

$(LIBRARY_FATBIN): $(LIBRARY_SRC:%=gpu/library/%) $(wildcard gpu/library/*.h) gpu/resident/order.h
	@$(if $(Q),echo "  NVCC    $@")
	$(Q)$(NVCC) -std=c++17 -O3 -I. -fatbin --threads 0 \
	    $(foreach a,$(ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
	    -gencode arch=compute_$(PTX_ARCH),code=compute_$(PTX_ARCH) -o $@ $(LIBRARY_SRC:%=gpu/library/%)

$(B)/gpu/library/fatbin.o: $(LIBRARY_FATBIN)
$(B)/gpu/library/fatbin.o: CFLAGS_FILE := -DTG_LIBRARY_FATBIN='"$(LIBRARY_FATBIN)"'

# Every kernel against its CPU variant, and every graph against sequential execution, on a machine with GPUs: tests/cuda/bundle.sh packs them.
$(B)/tests/cuda/run_%: $(B)/tests/cuda/run_%.o $(STATIC)
	@$(if $(Q),echo "  LINK    $@")
	$(Q)$(LINK) -rdynamic -Wl,-rpath,'$$ORIGIN' -o $@ $^ $(ALL_LIBS)
-include $(wildcard $(B)/tests/cuda/run_*.d)

# Compiled code of a user's, as graphs name it, for the same machine.
$(B)/tests/cuda/add.cubin: tests/cuda/images/add.cu
	@mkdir -p $(@D)
	$(Q)$(NVCC) -cubin -arch=sm_$(PTX_ARCH) -o $@ $<
$(B)/tests/cuda/add.fatbin: tests/cuda/images/add.cu
	@mkdir -p $(@D)
	$(Q)$(NVCC) -fatbin $(foreach a,$(ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
	    -gencode arch=compute_$(PTX_ARCH),code=compute_$(PTX_ARCH) -o $@ $<
endif

# These embed files (graph/file_text.h), which the compiler's dependencies do not tell.
$(B)/io/schema.o: io/schema.json
$(B)/io/page.o: $(wildcard io/html/*)
$(B)/io/templates.o: $(wildcard io/templates/*/*)
$(B)/gpu/resident/text.o: $(wildcard gpu/resident/*.h gpu/resident/*.cuh gpu/service/*.h gpu/service/*.cu* mem/service_*.h) \
                          $(wildcard kernels/*.cuh kernels/resident/*.cuh) mem/resident_program.h mem/resident_dynamic.h mem/resident_peers.h kernels/resident.h graph/tgraph_resident.h \
                          gpu/library/spawn.h gpu/library/status.h gpu/library/word.h

$(STATIC): $(LIB_OBJ)
	@$(if $(Q),echo "  AR      $@")
	$(Q)rm -f $@ && $(AR) rcs $@ $(LIB_OBJ)

# The functions that graph/tgraph.h declares are exported, nothing else.
$(B)/libtgraph.so.$(SOVERSION): $(LIB_OBJ)
	@$(if $(Q),echo "  LINK    $@")
	$(Q)$(LINK) -shared -Wl,-soname,libtgraph.so.$(SOVERSION) -Wl,--no-undefined -o $@ $(LIB_OBJ) $(ALL_LIBS)

$(SHARED): $(B)/libtgraph.so.$(SOVERSION)
	$(Q)ln -sf libtgraph.so.$(SOVERSION) $@

$(B)/libcli.a: $(CLI_OBJ)
	$(Q)rm -f $@ && $(AR) rcs $@ $(CLI_OBJ)

# -rdynamic: user kernels call back into the program.
$(B)/tgraph: $(CLI_OBJ) $(STATIC)
	@$(if $(Q),echo "  LINK    $@")
	$(Q)$(LINK) -rdynamic -o $@ $(CLI_OBJ) $(STATIC) $(ALL_LIBS)

$(B)/tests/test_%: $(B)/tests/test_%.o $(CLI_LIB) $(STATIC)
	@$(if $(Q),echo "  LINK    $@")
	$(Q)$(LINK) -rdynamic -o $@ $< $(CLI_LIB) $(STATIC) $(TEST_LIBS) $(ALL_LIBS)

# Its allocations fail on demand.
$(B)/tests/test_alloc: private LDFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc \
    -Wl,--wrap=mmap,--wrap=munmap,--wrap=pthread_create

# It runs the built-in kernels, from its own copy of them.
STANDIN_KERNELS_OBJ := $(patsubst %.c,$(B)/kernels/%.o,$(filter-out fatbin.c,$(KERNELS_SRC))) $(B)/graph/dtype.o \
                       $(B)/graph/expr.o $(B)/graph/expr_eval.o
$(STANDIN): $(STANDIN_OBJ) $(STANDIN_KERNELS_OBJ) tests/standin/exports.map
	@$(if $(Q),echo "  LINK    $@")
	$(Q)$(LINK) -shared -Wl,--version-script=tests/standin/exports.map -Wl,-z,defs -o $@ $(STANDIN_OBJ) \
	    $(STANDIN_KERNELS_OBJ) -ldl -lm -lpthread

# Stand-ins for NVRTC, NCCL and a profiler (tests/standin/nvrtc.h, nccl.h, nvtx.c).
$(B)/tests/standin/nvrtc_compile.o: tests/standin/standin_prelude.hpp tests/standin/standin_resident.hpp
$(B)/tests/libstandin-nvrtc.so: $(STANDIN_NVRTC_SRC:%.c=$(B)/tests/standin/%.o)
	@$(if $(Q),echo "  LINK    $@")
	$(Q)$(LINK) -shared -Wl,-z,defs -o $@ $(filter %.o,$^) -ldl
$(B)/tests/libstandin-nccl.so: $(STANDIN_NCCL_SRC:%.c=$(B)/tests/standin/%.o) $(B)/graph/dtype.o
	@$(if $(Q),echo "  LINK    $@")
	$(Q)$(LINK) -shared -Wl,-z,defs,-z,nodelete -o $@ $(filter %.o,$^) -ldl -lpthread

$(B)/tests/libstandin-nvtx.so: $(B)/tests/standin/nvtx.o
	@$(if $(Q),echo "  LINK    $@")
	$(Q)$(LINK) -shared -Wl,-z,defs -o $@ $<

# The module of all built-in kernels for it.
$(B)/tests/write_kernels: $(B)/tests/standin/write_kernels.o
	@$(if $(Q),echo "  LINK    $@")
	$(Q)$(LINK) -o $@ $< -ldl
$(B)/tests/standin-kernels.txt: $(B)/tests/write_kernels $(STANDIN)
	$(Q)$< $(STANDIN) $@

# ---- Benchmarks -----------------------------------------------------------------------------
#
# Programs that use tgraph through its public header, and the same graphs on what else is installed:
# bench/run.sh asks for the peers it finds.

CXX ?= g++
CLANG ?= clang
BENCH_TGRAPH := cuda_calls cuda_graph_copies cuda_graphs cuda_hops cuda_nodes cuda_rounds cuda_trsv library overhead \
                resident resident_run service taskbench cholesky load plan record streams copies pool start \
                cuda_cholesky cuda_tiles tree_search wakeups
BENCH_COMMON := $(addprefix $(B)/bench/,shape.o pattern.o tiles.o sample.o scratch.o metg.o)

$(BENCH_TGRAPH:%=$(B)/bench/%): $(B)/bench/%: $(B)/bench/%.o $(BENCH_COMMON) $(STATIC)
	@$(if $(Q),echo "  LINK    $@")
	$(Q)$(LINK) -rdynamic -o $@ $^ $(ALL_LIBS)

# A CUDA driver that does nothing: what is left is our own work.
$(B)/bench/libnull-cuda.so: $(B)/bench/null_driver.o $(B)/bench/null_driver_answers.o
	@$(if $(Q),echo "  LINK    $@")
	$(Q)$(LINK) -shared -o $@ $^

# The driver with its calls timed.  What it is linked against only has the driver's name.
$(B)/bench/stub/libcuda.so.1: $(B)/bench/null_driver.o $(B)/bench/null_driver_answers.o
	@mkdir -p $(@D)
	$(Q)$(LINK) -shared -Wl,-soname,libcuda.so.1 -o $@ $^
$(B)/bench/libtimed-cuda.so: $(B)/bench/timed_driver.o $(B)/bench/stub/libcuda.so.1
	@$(if $(Q),echo "  LINK    $@")
	$(Q)$(LINK) -shared -Wl,--no-as-needed -o $@ $^

$(B)/bench/peer_tbb: bench/peer_tbb.cpp $(BENCH_COMMON)
	@$(if $(Q),echo "  CXX     $@")
	$(Q)$(CXX) -std=c++17 $(WARNINGS) $(OPTIMISE) -g -I. -o $@ $^ $$($(PKG_CONFIG) --cflags --libs tbb) -lpthread

$(B)/bench/peer_gomp: bench/peer_openmp.c $(BENCH_COMMON)
	@$(if $(Q),echo "  CC      $@")
	$(Q)$(CC) -std=gnu11 $(WARNINGS) $(OPTIMISE) -g -I. -fopenmp -DBENCH_SYSTEM='"gomp"' -o $@ $^ -lm

$(B)/bench/peer_libomp: bench/peer_openmp.c $(BENCH_COMMON)
	@$(if $(Q),echo "  CC      $@")
	$(Q)$(CLANG) -std=gnu11 $(WARNINGS) $(OPTIMISE) -g -I. -fopenmp -DBENCH_SYSTEM='"libomp"' -o $@ $^ -lm

$(B)/bench/peer_starpu: bench/peer_starpu.c $(BENCH_COMMON)
	@$(if $(Q),echo "  CC      $@")
	$(Q)$(CC) -std=gnu11 $(WARNINGS) $(OPTIMISE) -g -I. $$($(PKG_CONFIG) --cflags starpu-1.3) -o $@ $^ \
	    $$($(PKG_CONFIG) --libs starpu-1.3) -lm

$(B)/bench/peer_cholesky_gomp: bench/peer_cholesky.c $(BENCH_COMMON) $(STATIC)
	@$(if $(Q),echo "  CC      $@")
	$(Q)$(CC) -std=gnu11 $(WARNINGS) $(OPTIMISE) -g -I. -fopenmp -DBENCH_SYSTEM='"gomp"' -o $@ $^ $(ALL_LIBS)

$(B)/bench/peer_cholesky_libomp: bench/peer_cholesky.c $(BENCH_COMMON) $(STATIC)
	@$(if $(Q),echo "  CC      $@")
	$(Q)$(CLANG) -std=gnu11 $(WARNINGS) $(OPTIMISE) -g -I. -fopenmp -DBENCH_SYSTEM='"libomp"' -o $@ $^ $(ALL_LIBS)

# Changes only when the flags do; the first build in a variant is the time to say what is missing.
$(B)/.flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(ALL_CFLAGS)' | cmp -s - $@ || { \
	    scripts/bootstrap.sh --dry-run build || { echo "scripts/bootstrap.sh build installs them."; exit 1; }; \
	    echo '$(CC) $(ALL_CFLAGS)' > $@; }

-include $(LIB_OBJ:.o=.d) $(CLI_OBJ:.o=.d) $(TESTS:%=$(B)/tests/test_%.d) $(STANDIN_OBJ:.o=.d) $(wildcard $(B)/tests/standin/*.d $(B)/bench/*.d)

# ---- Demo and tests -------------------------------------------------------------------------

demo:
	@scripts/bootstrap.sh demo
	@$(MAKE) --no-print-directory all
	@scripts/demo.sh $(B)/tgraph

# A test is NAME=COMMAND, a program or a script; tests/run runs and counts them.  Scripts find the
# program and its variant in TGRAPH and VARIANT.
TEST_TREE := includes=scripts/check-includes.sh header=scripts/check-header.sh cuda-abi=scripts/check-cuda-abi.sh
TEST_LIST := $(if $(SAN),,$(TEST_TREE)) $(TEST_PROGRAMS) $(TEST_SCRIPTS:%=tests/%.sh)
T ?=
ifneq ($(T),)
TEST_LIST := $(foreach t,$(T),$(filter $(t) $(t)=% %/$(t) %/test_$(t) %/$(t).sh,$(TEST_LIST)))
endif

check:
	@scripts/bootstrap.sh check
	@$(MAKE) --no-print-directory run-tests

UNLISTED := $(filter-out $(LIB_SRC) $(PROGRAM_SRC) $(TESTS:%=tests/test_%.c) $(TEST_SCRIPTS:%=tests/%.sh) \
              $(CUDA_SRC:%=kernels/%) $(RESIDENT_SRC:%=gpu/resident/%) $(RESIDENT_RUN_SRC:%=gpu/resident/%) \
              $(RESIDENT_PEERS_SRC:%=gpu/resident/%) $(SERVICE_SRC:%=gpu/service/%) $(LIBRARY_SRC:%=gpu/library/%) gpu/decide.cu, \
              $(wildcard $(addsuffix /*.cu,kernels gpu gpu/resident gpu/service gpu/library) \
              $(addsuffix /*.c,graph mem sched kernels gpu gpu/resident gpu/library io io/cli) tests/test_*.c tests/*.sh))
.PHONY: run-tests
run-tests: tests
	@$(if $(UNLISTED),echo "not listed in the Makefile: $(UNLISTED)"; exit 1,:)
	@TGRAPH='$(abspath $(B)/tgraph)' VARIANT='$(VARIANT)' SAN='$(SAN)' CC='$(CC)' \
	    UBSAN_OPTIONS=print_stacktrace=1 tests/run $(TEST_LIST)

# Fuzz targets have an entry point of libFuzzer's, so they are built with clang, apart from the rest.
$(B)/fuzz_%: tests/fuzz_%.c $(LIB_SRC) $(wildcard $(addsuffix /*.h,graph mem sched kernels io))
	@mkdir -p $(@D)
	@$(if $(Q),echo "  FUZZ    $@")
	$(Q)$(CLANG) -std=gnu11 -O1 -g -D_GNU_SOURCE= -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
	    -pthread -I. $(DEP_CFLAGS) -o $@ $< $(LIB_SRC) $(ALL_LIBS)

bench:
	@$(MAKE) --no-print-directory all
	@CC='$(CC)' CXX='$(CXX)' CLANG='$(CLANG)' PKG_CONFIG='$(PKG_CONFIG)' bench/run.sh $(B)

# ---- Installation ---------------------------------------------------------------------------

SUBCOMMANDS := run plan bench calibrate check expand export gen import fmt init serve top devices doctor explain report why diff schema cache \
               completion
root := $(DESTDIR)
INSTALLED := $(bindir)/tgraph $(includedir)/tgraph.h $(includedir)/tgraph_service.h $(includedir)/tgraph_resident.h $(libdir)/libtgraph.a $(libdir)/libtgraph.so \
             $(libdir)/libtgraph.so.$(SOVERSION) $(libdir)/pkgconfig/tgraph.pc \
             $(datadir)/man/man1/tgraph.1 $(SUBCOMMANDS:%=$(datadir)/man/man1/tgraph-%.1) \
             $(datadir)/bash-completion/completions/tgraph $(datadir)/zsh/site-functions/_tgraph \
             $(datadir)/fish/vendor_completions.d/tgraph.fish

install: all
	@echo "installing to $(root)$(PREFIX)"
	$(Q)install -d $(sort $(dir $(INSTALLED:%=$(root)%)))
	$(Q)install -m 755 $(B)/tgraph $(root)$(bindir)/
	$(Q)install -m 644 graph/tgraph.h graph/tgraph_service.h graph/tgraph_resident.h $(root)$(includedir)/
	$(Q)install -m 644 $(B)/libtgraph.a $(root)$(libdir)/
	$(Q)install -m 755 $(B)/libtgraph.so.$(SOVERSION) $(root)$(libdir)/
	$(Q)ln -sf libtgraph.so.$(SOVERSION) $(root)$(libdir)/libtgraph.so
	$(Q)sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' tgraph.pc.in > $(root)$(libdir)/pkgconfig/tgraph.pc
	$(Q)$(B)/tgraph help --man > $(root)$(datadir)/man/man1/tgraph.1
	$(Q)for c in $(SUBCOMMANDS); do $(B)/tgraph help --man $$c > $(root)$(datadir)/man/man1/tgraph-$$c.1 || exit 1; done
	$(Q)$(B)/tgraph completion bash > $(root)$(datadir)/bash-completion/completions/tgraph
	$(Q)$(B)/tgraph completion zsh > $(root)$(datadir)/zsh/site-functions/_tgraph
	$(Q)$(B)/tgraph completion fish > $(root)$(datadir)/fish/vendor_completions.d/tgraph.fish

uninstall:
	rm -f $(INSTALLED:%=$(root)%)

bundle: all
	@scripts/bundle.sh $(B) $(VERSION)

clean:
	rm -rf build
