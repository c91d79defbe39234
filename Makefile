# make run and make test set up all that they need; see tools/setup.
VENV := .venv
PY := $(VENV)/bin/python
SOURCES := pyproject.toml build_ext.py $(shell find csrc -name '*.[ch]')
C_FILES := $(shell find csrc tests/c -name '*.c')
C_ALL := $(C_FILES) $(shell find bench tests/fuzz -name '*.c')
C_HEADERS := $(shell find csrc bench tests/fuzz -name '*.h')
FUZZ_S := 20
STRICT := -std=c11 -D_GNU_SOURCE -Icsrc -O2 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
# COMPILER:WHAT,RUNS,IT
CROSS := arm-linux-gnueabihf-gcc:qemu-arm,-L,/usr/arm-linux-gnueabihf \
    aarch64-linux-gnu-gcc:qemu-aarch64,-L,/usr/aarch64-linux-gnu musl-gcc:env
ASAN := ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1

.PHONY: run test lint format asan tsan cross fuzz machine bench bench-short abuse reloads slow-readers attacks clean

run: build/run
	$(PY) -m nanomq_py start --conf etc/nanomq.conf

test: build/test
	$(PY) -m pytest

build/run: $(SOURCES)
	tools/setup run
	@mkdir -p build && touch $@

build/test: $(SOURCES)
	tools/setup test
	$(PY) build_ext.py --test
	@mkdir -p build && touch $@ build/run

build/bench: pyproject.toml build/test
	tools/setup bench
	@mkdir -p build && touch $@

build/cross: tools/setup
	tools/setup cross
	@mkdir -p build && touch $@

lint: build/bench
	$(PY) -m ruff format --check . && $(PY) -m ruff check . && $(PY) -m mypy
	$(PY) tools/conformance.py --check && $(PY) tools/configuration.py --check
	$(VENV)/bin/clang-format --dry-run -Werror $(C_ALL) $(C_HEADERS)
	for cc in gcc clang; do for f in $(C_ALL); do $$cc $(STRICT) -c $$f -o /dev/null || exit 1; done; done

format: build/test
	$(PY) -m ruff format . && $(PY) -m ruff check --fix . && $(VENV)/bin/clang-format -i $(C_ALL) $(C_HEADERS)

asan: build/test # the whole suite on an ASan and UBSan build, and the coverage of the C core
	@rm -f build/run build/test build/bench && find build -name '*.gcda' -delete
	$(PY) build_ext.py --test --sanitize address,undefined --coverage
	$(ASAN) LD_PRELOAD=$$(gcc -print-file-name=libasan.so) $(PY) -m pytest
	$(PY) -m gcovr --root . --filter 'csrc/(mqtt|store|route)/' --fail-under-line 90 build
	gcc -std=c11 -D_GNU_SOURCE -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -DNMQ_MEM_COUNT -Icsrc -o build/stress-asan $(C_FILES) -lpthread
	build/stress-asan

tsan: # threads without Python
	@mkdir -p build
	gcc -std=c11 -D_GNU_SOURCE -g -O1 -fsanitize=thread -DNMQ_MEM_COUNT -Icsrc -o build/stress-tsan $(C_FILES) -lpthread
	for n in 1 2 3; do build/stress-tsan || exit 1; done

cross: build/cross # the C core for both Arms and for musl, as strict as lint, and its threads there
	@set -e; for run in $(CROSS); do \
	    cc=$${run%%:*}; echo "$$cc"; \
	    $$cc $(STRICT) -g -DNMQ_MEM_COUNT -o build/stress-$$cc $(C_FILES) -lpthread; \
	    $$(echo $${run#*:} | tr , ' ') build/stress-$$cc; \
	done

fuzz: build/test # each target for FUZZ_S seconds, two at a time
	$(PY) -m tests.fuzz.conf --seconds $(FUZZ_S)
	$(PY) -m tests.fuzz.run --seconds $(FUZZ_S)

machine: build/test # ten minutes of clients against a model, each round from a seed of its own
	end=$$(( $$(date +%s) + 600 )); \
	while [ $$(date +%s) -lt $$end ]; do \
	    seed=$$(od -An -N4 -tu4 /dev/urandom | tr -d ' '); echo "seed $$seed"; \
	    MACHINE_EXAMPLES=1000 $(PY) -m pytest --timeout=900 --hypothesis-seed=$$seed \
	        tests/property/test_broker_model.py || exit 1; \
	done

bench: build/bench # every scenario against every broker that is installed: docs/performance.md
	$(PY) bench/run.py

bench-short: build/bench # instructions a message against what is recorded; each scenario, small
	$(PY) bench/instructions.py
	$(PY) bench/run.py --short

abuse: build/test # twenty minutes of a hostile network
	$(PY) bench/abuse.py

reloads: build/test # a thousand changes of the configuration under traffic
	$(PY) bench/reloads.py

attacks: build/test # what one client can do to the others: figures
	$(PY) bench/attacks.py

slow-readers: build/test # every pace, size, QoS and transport: nothing is lost, nobody is cut off
	$(PY) bench/slow_readers.py

clean:
	rm -rf build $(VENV) nanomq_py/*.so tests/*.so
