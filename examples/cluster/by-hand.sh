#!/usr/bin/env bash
# A Ray cluster by hand. On the first machine:   by-hand.sh head ADDRESS_OF_THIS_MACHINE
# It makes a token, which every other machine needs at the same place (mode 600), then there:
#                                                by-hand.sh worker HEAD_ADDRESS
# ADDRESS is that of a private network's interface. With 127.0.0.1 the head stays the only machine,
# and nothing listens beyond loopback. RAY_CPUS says how many CPUs to give [default: all].
# Without the token nobody can use the cluster, but whoever reads the traffic can read the token:
# use a network that you trust.
set -euo pipefail

role=${1:?"head or worker"}
address=${2:?"the head's address"}
port=${RAY_PORT:-6379}
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
export RAY_AUTH_TOKEN_PATH=${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}
options=("--disable-usage-stats")
if [[ -n ${RAY_CPUS:-} ]]; then options+=("--num-cpus=$RAY_CPUS"); fi
if [[ $role == head && $address == 127.0.0.1 ]]; then
  export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 # loopback alone, as on a Mac; the run needs it, too
fi

case $role in
  head)
    if [[ ! -s $RAY_AUTH_TOKEN_PATH ]]; then
      (umask 077 && mkdir -p "$(dirname "$RAY_AUTH_TOKEN_PATH")" &&
        head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$RAY_AUTH_TOKEN_PATH")
    fi
    ray start --head --node-ip-address="$address" --port="$port" --include-dashboard=false \
      "${options[@]}"
    echo "then: RAY_ADDRESS=$address:$port run-evolution train CONFIG --output DIR --resume auto"
    ;;
  worker)
    if [[ ! -s $RAY_AUTH_TOKEN_PATH ]]; then
      echo "copy the head's $RAY_AUTH_TOKEN_PATH here first" >&2
      exit 2
    fi
    ray start --address="$address:$port" "${options[@]}"
    ;;
  *)
    echo "head or worker, not $role" >&2
    exit 2
    ;;
esac
