# make run and make test set up all that they need; see tools/setup.
.NOTPARALLEL:
VENV := .venv
PY := $(VENV)/bin/python
SOURCES := build_ext.py tools/declared.py tools/declared_events.py tools/stub.py \
    $(shell find csrc -name '*.[ch]' -o -name '*.def')
C_FILES := $(shell find csrc tests/c -name '*.c')
C_ALL := $(C_FILES) $(shell find bench tests/fuzz tests/durability -name '*.c')
C_HEADERS := $(shell find csrc bench tests/fuzz -name '*.h')
FUZZ_S := 20
# Tests wait more than they work: several at a time on each processor.
BESIDE := -n 4 --dist loadfile --no-loadscope-reorder
TESTS := $(PY) -m pytest $(BESIDE)
AGAIN := $(PY) -m tools.again # pytest, and a test that lost a race once more, alone
CHECK := tests/unit tests/property tests/conformance tests/test_broker.py tests/test_layers.py \
    tests/test_limits.py tests/test_quotas.py tests/test_robust.py
STRICT := -std=c11 -D_GNU_SOURCE -Icsrc -O2 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
# COMPILER:WHAT,RUNS,IT
CROSS := arm-linux-gnueabihf-gcc:qemu-arm,-L,/usr/arm-linux-gnueabihf \
    aarch64-linux-gnu-gcc:qemu-aarch64,-L,/usr/aarch64-linux-gnu musl-gcc:env
ASAN := ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1

.PHONY: run test check lint format asan tsan cross developing fuzz machine properties bench bench-short durability abuse reloads slow-readers devices webhooks attacks clean

run: build/setup-run build/core
	$(PY) -m nanomq_py start --conf etc/nanomq.conf

test: build/setup-test build/test # what measures time or memory runs alone, after the others
	$(AGAIN) $(BESIDE) -m "not alone"
	$(AGAIN) -m alone || [ $$? = 5 ]

check: build/setup-check build/test # a minute of it; no program of others
	$(TESTS) -m "not alone" $(CHECK)

# What is installed; tools/setup touches the stamps of all that it brought.
build/setup-%: pyproject.toml tools/setup
	tools/setup $*

build/core: $(SOURCES)
	$(PY) build_ext.py
	@touch $@

build/test: $(SOURCES)
	$(PY) build_ext.py --test
	@touch $@ build/core

lint: build/setup-bench build/test
	$(PY) -m ruff format --check . && $(PY) -m ruff check . && $(PY) -m mypy && $(PY) -m mypy examples/plugin/*.py && $(PY) -m mypy examples/device.py
	$(PY) tools/conformance.py --check && $(PY) tools/configuration.py --check && $(PY) tools/connection.py --check
	$(PY) tools/metrics.py --check && $(PY) -m tools.api_coverage --check
	$(VENV)/bin/clang-format --dry-run -Werror $(C_ALL) $(C_HEADERS)
	for cc in gcc clang; do for f in $(C_ALL); do $$cc $(STRICT) -c $$f -o /dev/null || exit 1; done; done

format: build/setup-check
	$(PY) -m ruff format . && $(PY) -m ruff check --fix . && $(VENV)/bin/clang-format -i $(C_ALL) $(C_HEADERS)

asan: build/setup-test # the suite on an ASan and UBSan build, and the coverage of the C core
	@rm -f build/core build/test && find build -name '*.gcda' -delete
	$(PY) build_ext.py --test --sanitize address,undefined --coverage
	$(ASAN) LD_PRELOAD=$$(gcc -print-file-name=libasan.so) $(AGAIN) $(BESIDE) -m "not plain and not alone"
	$(ASAN) LD_PRELOAD=$$(gcc -print-file-name=libasan.so) $(AGAIN) -m "alone and not plain"
	$(PY) -m gcovr --root . --filter 'csrc/(mqtt|store|route)/' --fail-under-line 90 build
	gcc -std=c11 -D_GNU_SOURCE -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -DNMQ_MEM_COUNT -Icsrc -o build/stress-asan $(C_FILES) -lpthread
	build/stress-asan

tsan: # threads without Python
	@mkdir -p build
	gcc -std=c11 -D_GNU_SOURCE -g -O1 -fsanitize=thread -DNMQ_MEM_COUNT -Icsrc -o build/stress-tsan $(C_FILES) -lpthread
	for n in 1 2 3; do build/stress-tsan && build/stress-tsan journal || exit 1; done

cross: build/setup-cross # the C core for both Arms and for musl, as strict as lint, and its threads there
	@set -e; for run in $(CROSS); do \
	    cc=$${run%%:*}; echo "$$cc"; \
	    $$cc $(STRICT) -g -DNMQ_MEM_COUNT -o build/stress-$$cc $(C_FILES) -lpthread; \
	    $$(echo $${run#*:} | tr , ' ') build/stress-$$cc; \
	done

developing: build/setup-test build/test # each step of docs/developing.md, the long ones too
	DEVELOPING=1 $(PY) -m pytest tests/test_developing.py

fuzz: build/setup-test build/test # each target for FUZZ_S seconds, two at a time
	$(PY) -m tests.fuzz.run --seconds $(FUZZ_S)

machine: build/setup-check build/test # ten minutes of clients against a model, each round from a seed of its own
	end=$$(( $$(date +%s) + 600 )); \
	while [ $$(date +%s) -lt $$end ]; do \
	    seed=$$(od -An -N4 -tu4 /dev/urandom | tr -d ' '); echo "seed $$seed"; \
	    NEW_EXAMPLES=1 MACHINE_EXAMPLES=1000 $(PY) -m pytest --timeout=900 --hypothesis-seed=$$seed \
	        tests/property/test_broker_model.py || exit 1; \
	done

properties: build/setup-test build/test # every property test on examples that it has not seen
	NEW_EXAMPLES=1 $(TESTS) -m "hypothesis and not alone"

bench: build/setup-bench build/core # every scenario against every broker that is installed: docs/performance.md
	$(PY) bench/run.py
	$(PY) bench/profiles.py

bench-short: build/setup-bench build/core # instructions a message against what is recorded; each scenario, small
	$(PY) bench/instructions.py
	$(PY) bench/run.py --short

durability: build/setup-test build/test # kills, power cuts and faults of the disk, at full counts: an hour or two
	$(PY) -m tests.durability.run

abuse: build/setup-test build/test # twenty minutes of a hostile network
	$(PY) bench/abuse.py

reloads: build/setup-test build/test # a thousand changes of the configuration under traffic
	$(PY) bench/reloads.py

devices: build/setup-test build/test # 2,000 devices for ten minutes, the broker killed three times: no command is lost
	$(PY) -m tests.devices.simulation

attacks: build/setup-test build/test # what one client can do to the others: figures
	$(PY) bench/attacks.py

slow-readers: build/setup-test build/test # every pace, size, QoS and transport: nothing is lost, nobody is cut off
	$(PY) bench/slow_readers.py

webhooks: build/setup-check build/test # half a million messages to web hooks, with a bad receiver, restarts and two kills
	$(PY) -m tests.webhook.flood

clean:
	rm -rf build $(VENV) nanomq_py/*.so tests/*.so nanomq_py/_core.pyi nanomq_py/core/declared*.py
