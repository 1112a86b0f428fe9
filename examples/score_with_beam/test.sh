#!/usr/bin/env bash
# Makes an environment with Beam in a temporary directory, and tests the example from end to end.
set -euo pipefail
cd "$(dirname "$0")/../.."

environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT
"${PYTHON:-python3}" -m venv "$environment"
"$environment/bin/pip" install -q -r requirements.txt -r examples/score_with_beam/requirements.txt pytest
# The settings of the project's own tests are not for here.
PYTHONPATH=. "$environment/bin/python" -m pytest -c /dev/null -q examples/score_with_beam "$@"
