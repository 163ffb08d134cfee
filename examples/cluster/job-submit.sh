#!/usr/bin/env bash
# Give a run to a cluster that is there: job-submit.sh HTTP_ADDRESS CONFIG DIR
# HTTP_ADDRESS is that of the cluster's dashboard, such as http://127.0.0.1:8265 through
# `ssh -L 8265:127.0.0.1:8265 HEAD`; DIR is the run's folder as the nodes see it. Needs ray[default]
# here and on the head. The working directory, with CONFIG in it, travels along; this package is
# installed on the head, and from there ship_code sends it to the other nodes.
set -euo pipefail

address=${1:?"the dashboard's address"}
config=${2:?"a preset, or a config file in this directory"}
output=${3:?"the run's folder, as the nodes see it"}
export RAY_AUTH_MODE=${RAY_AUTH_MODE:-token}
ray job submit --address "$address" --working-dir . --no-wait -- \
  run-evolution train "$config" --output "$output" --resume auto --set execution.ship_code=true
