#!/bin/bash
# Explores every model in this folder, and shows that each of its planted bugs is found.
# Without spin: exit 77, skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v spin >/dev/null || { echo "spin is not installed"; exit 77; }
for model in tests/model/*.pml; do
    scripts/check-model.sh "$model"
done
