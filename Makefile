# Two commands on a machine with Python >= 3.11 and make: `make demo`, `make test`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet -c constraints.txt
# What to type before `coslide` alone is a command; silent where the environment is active.
ACTIVATE = test -n "$$VIRTUAL_ENV" || { test -x $(BIN)/coslide \
	&& echo "To use the command \`coslide\` in this shell: source .venv/bin/activate" \
	|| echo "Nothing is installed yet: make demo"; }

.DEFAULT_GOAL := help
.PHONY: $(shell sed -nE 's/^([a-z-]+):.*/\1/p' $(firstword $(MAKEFILE_LIST)))

help:  ## what there is to make
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20
	@$(ACTIVATE)

.venv/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing the pinned dependencies into .venv (a few minutes the first time)"
	@$(PIP) -e .
	@touch $@
	@$(ACTIVATE)

.venv/.dev: .venv/.installed
	@$(PIP) -e '.[dev]'
	@touch $@

# (NO_MKDOCS_2_WARNING: a notice of the theme about its successor, on every build.)
.venv/.docs: .venv/.installed
	@$(PIP) -e '.[docs]'
	@touch $@

demo: .venv/.installed  ## map an unseen simulated earthquake end to end
	@$(BIN)/coslide demo --out runs
	@$(ACTIVATE)

test: .venv/.dev  ## format, lint, types, import contracts, the whole test suite
	@$(MAKE) --no-print-directory lint types check-imports unit

lint: .venv/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: .venv/.dev
	@$(BIN)/mypy

check-imports: .venv/.dev
	@$(BIN)/lint-imports

unit: .venv/.dev
	@$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=15

verify-properties: .venv/.dev  ## the property tests with twenty times as many, new examples
	@HYPOTHESIS_PROFILE=long $(BIN)/pytest -n 2 --dist loadfile -m "not slow" -k "$$(grep -lr 'from hypothesis import' tests | xargs -n1 basename -s .py | paste -sd'|' | sed 's/|/ or /g')"

verify: verify-trust verify-frames verify-iburi verify-simulated verify-study verify-ood verify-sim-to-real verify-real verify-selection verify-seams verify-speed verify-large verify-flat verify-tiling verify-mmd verify-order verify-vectorise verify-product verify-pages verify-pull verify-first-question verify-catalogue verify-ui verify-load verify-kill verify-faults verify-dask verify-overfit verify-precision verify-comparison verify-shadow  ## every larger claim at full size, resumable; writes docs/results

verify-trust: .venv/.dev  ## no-event pairs, home ground and scenes made wrong: what is said first (needs ../shared/real)
	@$(BIN)/python -m benchmarks.trust --write
	@$(BIN)/python -m benchmarks.lookalikes --write

verify-frames: .venv/.dev  ## ten overlapping frames over Iburi and a simulated scene: the same map of the same ground (needs ../shared/real)
	@$(BIN)/python -m benchmarks.frames --write

verify-iburi: .venv/.dev  ## real Iburi pixels: five bands, two seeds, two cards, baselines (needs ../shared/real)
	@$(BIN)/python -m benchmarks.iburi --write
	@$(BIN)/python -m benchmarks.iburi_halves --write
	@$(BIN)/python -m benchmarks.objects --write
	@$(BIN)/python -m benchmarks.iburi_trials --write

verify-simulated: .venv/.dev  ## how hard the simulated Earth is, and how like real tiles
	@$(BIN)/python -m benchmarks.simulated_difficulty --write

verify-study: .venv/.dev  ## leave one domain out: mixtures, the choice, calibration; writes configs/selection.yaml (simulated)
	@$(BIN)/coslide study standard --workers 2 --docs runs/verify/study --selection configs/selection.yaml
	@$(BIN)/python -m benchmarks.results adopt study runs/verify/study/study.md
	@cp runs/verify/study/images/* docs/images/ && cp runs/verify/study/study.csv docs/results/
	@$(BIN)/python -m benchmarks.study_baselines --write

verify-ood: .venv/.dev  ## the out-of-domain warning on scenes made wrong in eight ways (simulated)
	@$(BIN)/python -m benchmarks.ood --write

verify-sim-to-real: .venv/.dev  ## what simulated training is worth on the real Iburi scene (needs ../shared/real)
	@$(BIN)/python -m benchmarks.sim_to_real --write

verify-selection: .venv/.dev  ## the card chosen by MMD against the best one, simulated
	@$(BIN)/python -m benchmarks.selection --write

verify-seams: .venv/.dev  ## F1 and seams of every shipped card at 88, 128, 256 and 512 px
	@$(BIN)/python -m benchmarks.seams --write

runs/verify/speed-peers/.installed: benchmarks/peers-speed.txt .venv/.dev
	@$(PIP) --no-deps --target runs/verify/speed-peers -r benchmarks/peers-speed.txt
	@touch $@

verify-speed: .venv/.dev runs/verify/speed-peers/.installed  ## reading alone; maps beside the bare network and MONAI, processor and GPU
	@$(BIN)/python -m benchmarks.reading --write
	@PYTHONPATH=runs/verify/speed-peers $(BIN)/python -m benchmarks.speed --write

verify-large: .venv/.dev  ## what an event costs, step by step: the demonstration, Iburi, 1 000 km² (needs ../shared/real); resumable
	@$(BIN)/python -m benchmarks.large --write

verify-flat: .venv/.dev  ## what leaving out flat ground saves, and what the map loses (needs ../shared/real)
	@$(BIN)/python -m benchmarks.flat --write

verify-tiling: .venv/.dev  ## memory and throughput of map_tiles
	@$(BIN)/python -m benchmarks.tiling --write

verify-mmd: .venv/.dev  ## MMD of five cards against ten million pixels
	@$(BIN)/python -m benchmarks.mmd --write

verify-order: .venv/.dev  ## what checkpoints are ordered by, from the tables that the studies left
	@$(BIN)/python -m benchmarks.order --write

verify-real: .venv/.dev  ## real events left out whole: networks, the index, and what MMD says of them (needs ../shared/real)
	@$(BIN)/python -m benchmarks.real --write
	@$(BIN)/python -m benchmarks.self_training --write
	@$(BIN)/coslide study real --workers 2 --docs runs/verify/study-real
	@sed -i 's#(images/#(images/study-real/#; s#(study.csv)#(results/study-real.csv)#' runs/verify/study-real/study.md
	@mkdir -p docs/images/study-real && cp runs/verify/study-real/images/* docs/images/study-real/
	@cp runs/verify/study-real/study.csv docs/results/study-real.csv
	@$(BIN)/python -m benchmarks.results adopt study-real runs/verify/study-real/study.md

verify-vectorise: .venv/.dev  ## twenty thousand landslides to polygons
	@$(BIN)/python -m benchmarks.vectorise --tiles 4 --write

verify-product: .venv/.dev  ## landslide-level scores on real pixels, and what a revision of 700 km² costs (after verify-iburi)
	@$(BIN)/python -m benchmarks.product --write

verify-pages: .venv/.dev  ## how large report and sheets of 700 km² are, how fast the page of 200 events opens (needs ../shared/real, chromium)
	@$(BIN)/python -m benchmarks.pages --write

verify-shadow: .venv/.dev  ## cast shadow on real terrain against rays followed in another way (needs ../shared/real)
	@$(BIN)/python -m benchmarks.shadow --write

verify-overfit: .venv/.dev  ## every network learns eight real chips by heart
	@$(BIN)/python -m benchmarks.overfit --write

verify-precision: .venv/.dev  ## what bfloat16 and channels-last order are worth in training and inference
	@$(BIN)/python -m benchmarks.precision --write

verify-comparison: .venv/.dev  ## every network, five CPU minutes on real patches; factors and radar on the simulated Earth
	@$(BIN)/python -m benchmarks.simulated_comparison --write
	@$(BIN)/python -m benchmarks.comparison --write

runs/verify/peers/.installed: benchmarks/peers.txt
	@test -x runs/verify/peers/bin/python || $(PYTHON) -m venv runs/verify/peers
	@runs/verify/peers/bin/pip --disable-pip-version-check install --quiet -r benchmarks/peers.txt
	@touch $@

verify-pull: .venv/.dev runs/verify/peers/.installed  ## pulling pixels beside xee and geedim, on a loopback Earth Engine
	@$(BIN)/python -m benchmarks.pull --write --peers runs/verify/peers/bin/python

verify-first-question: .venv/.dev  ## which scenes there are of a M 6.6 and a M 7.8 event, on a loopback Earth Engine with little room
	@$(BIN)/python -m benchmarks.first_question --write

runs/verify/catalogue-peers/.installed: benchmarks/peers-catalogue.txt .venv/.dev
	@$(PIP) --no-deps --target runs/verify/catalogue-peers -r benchmarks/peers-catalogue.txt
	@touch $@

verify-catalogue: .venv/.dev runs/verify/catalogue-peers/.installed  ## pulling from a catalogue beside plain odc-stac, on a loopback STAC API
	@PYTHONPATH=runs/verify/catalogue-peers $(BIN)/python -m benchmarks.catalogue --write

verify-ui: .venv/.dev  ## map-event from the Prefect UI in a headless Chromium, its command line and curl; screenshots into docs/
	@$(BIN)/python -m benchmarks.ui --write

verify-load: .venv/.dev  ## fifty triggers in a minute, one run at a time: all finish, the server answers quickly
	@$(BIN)/python -m benchmarks.load

verify-kill: .venv/.dev  ## flow, Dask worker and Prefect server killed at seeded moments, on SQLite and PostgreSQL: the same products
	@$(BIN)/python -m benchmarks.kill --write

verify-faults: .venv/.dev  ## 2 400 hostile inputs; SIGKILL before every rename of seven commands; damaged files, power cuts, full disks; cases from the field; resumable
	@$(BIN)/python -m benchmarks.faults --write
	@$(BIN)/python -m benchmarks.fault_kills --write
	@$(BIN)/python -m benchmarks.fault_damage --write
	@$(BIN)/python -m benchmarks.fault_disks --write
	@$(BIN)/python -m benchmarks.fault_cases --write

verify-dask: .venv/.dev  ## throughput of Dask workers against one process, and what large events amount to
	@$(BIN)/python -m benchmarks.dask_scale --write

results: .venv/.dev  ## docs/results/*.json rendered into docs/results.md
	@$(BIN)/python -m benchmarks.results

house: .venv/.dev  ## count what the code is made of: lines, names, comments, floors of flows
	@$(BIN)/python -m benchmarks.house

live: .venv/.dev  ## the live Earth Engine and public catalogue: what is missing, what 60 km cost, then the map; skipped without credentials or network
	@$(BIN)/python -m benchmarks.live
	@$(BIN)/python -m benchmarks.live --source stac:earth-search
	@$(BIN)/pytest -m live -rs tests/earthengine/test_live.py tests/stac/test_live.py

collections: .venv/.dev  ## the table of Earth Engine collections in docs/earth-engine.md, from the code
	@$(BIN)/python -m benchmarks.collections

docs: .venv/.docs  ## the documentation site, built offline into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

cards: .venv/.dev  ## train the shipped cards again from their recipes, into runs/cards
	@$(BIN)/python -m benchmarks.cards

clean:  ## remove the environment and all runs
	rm -rf .venv runs
