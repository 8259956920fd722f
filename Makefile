# The project's commands; each does its work in scripts/ or by cargo. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help run test lint bench

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-6s %s\n", $$1, $$2}' Makefile

run: ## Open the app on a real film that comes from neighbours on this machine
	scripts/demo

test: ## Build everything and run all tests
	scripts/check-tools
	scripts/install-packages
	scripts/film mp4 mp4-index-last mkv webm ts short >/dev/null
	scripts/screen check test build a11y
	cargo build --bins
	cargo build -p nearcast-app
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
