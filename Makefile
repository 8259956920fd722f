# The project's commands; each does its work in scripts/ or by cargo. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help run test lint bench bench-publisher bench-tracker bench-transfer lab lab-report sim soak

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' Makefile

run: ## Open the app on a real film that comes from neighbours on this machine
	scripts/demo

test: ## Build everything and run all tests
	scripts/check-tools
	scripts/install-packages
	scripts/film mp4 mp4-index-last mkv webm ts short >/dev/null
	scripts/screen check test build a11y
	cargo build --workspace --bins
	scripts/test-summary cargo test --no-fail-fast --workspace

lint: ## Check formatting and run clippy; a warning is an error
	scripts/check-tools
	scripts/install-packages build desktop
	scripts/screen build
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

bench: ## Run the benchmarks
	scripts/check-tools
	scripts/install-packages build
	cargo bench --workspace --bench '*'

bench-publisher: ## Measure the publisher: hashing beside b3sum, processor time for each GB served, catalogue pages a second
	scripts/check-tools
	scripts/install-packages build bench
	scripts/bench-publisher
	cargo bench -p nearcast-publisher --bench catalogue

bench-tracker: ## Measure the tracker: its memory, its rates, and on the wire beside opentracker
	scripts/check-tools
	scripts/install-packages build lab
	cargo bench -p nearcast-tracker --bench engine
	cargo bench -p nearcast-tracker --bench wire

bench-transfer: ## Measure a film carried over loopback: MB/s and processor time for each GB, beside libtorrent and rqbit
	scripts/check-tools
	scripts/install-packages build run bench
	scripts/lab-peers
	scripts/bench-transfer

soak: ## Run twenty nodes for an hour with random faults, and see that nothing grows (SOAK='--minutes 10 --seed 2')
	scripts/check-tools
	scripts/install-packages build
	cargo build -p nearcast-transfer -p nearcast-tracker -p nearcast-tests --bins
	$${CARGO_TARGET_DIR:-target}/debug/nearcast-soak $(SOAK)

lab: ## Measure ours beside others in real networks on this machine (SCENARIO=name for one); takes root
	scripts/check-tools
	scripts/install-packages build run test
	scripts/lab-peers
	scripts/film mp4 mp4-index-last short >/dev/null
	cargo build --release --bins
	target/release/nearcast-lab run $(if $(SCENARIO),--scenario $(SCENARIO)) $(LAB)
	target/release/nearcast-lab report

lab-report: ## Make a page with plots of the lab's last figures
	target/release/nearcast-lab report

sim: ## Simulate a thousand viewers in minutes (SCENARIO=name for another scenario)
	scripts/check-tools
	cargo build --release -p nearcast-simulation
	target/release/nearcast-sim $(if $(SCENARIO),--scenario $(SCENARIO)) $(SIM)
